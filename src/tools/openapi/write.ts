// `npm run openapi`: writes gen/openapi.json, which the service serves.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readContract } from './contract.ts';
import { openApiDocument } from './document.ts';

const file = process.argv[2] ?? 'gen/openapi.json';
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
mkdirSync(path.dirname(file), { recursive: true });
writeFileSync(file, `${JSON.stringify(openApiDocument(readContract(), version), null, 2)}\n`);
