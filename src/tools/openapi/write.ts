// `npm run openapi`: writes gen/openapi.json, which the service serves, and gen/asyncapi.json beside it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { asyncApiDocument } from './asyncapi.ts';
import { readContract } from './contract.ts';
import { openApiDocument } from './document.ts';

const [file = 'gen/openapi.json', asyncFile = path.join(path.dirname(file), 'asyncapi.json')] = process.argv.slice(2);
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
mkdirSync(path.dirname(file), { recursive: true });
write(file, openApiDocument(readContract(), version));
write(asyncFile, asyncApiDocument(version));

function write(to: string, document: object): void {
  writeFileSync(to, `${JSON.stringify(document, null, 2)}\n`);
}
