// Puts what /docs sends to browsers into dist/docs: Scalar's files as they were published, ours beside them, compressed once for all.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, glob, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { replaceFolder } from '../src/tools/output-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SCALAR = join(ROOT, 'node_modules/@scalar/api-reference');
const OURS = ['start.js', 'style.css'];
/** The console's own face. */
const FONT = join(ROOT, 'node_modules/@fontsource-variable/instrument-sans/files/instrument-sans-latin-wght-normal.woff2');
const OUTPUT = join(ROOT, 'dist/docs');
/** 4.9 MB become 1.3 MB in a second of processor time (two-core machine of 2026-11-28); it runs before a start, so no slower. */
const BROTLI_QUALITY = 9;

/** Resolves to whether it built. A machine without the component (a production install) keeps what it has. */
export async function buildReference(options: { readonly force: boolean }): Promise<boolean> {
  if (!existsSync(SCALAR)) return false;
  const version = await versionOf();
  if (!options.force && existsSync(join(OUTPUT, version))) return false;
  // Made aside and moved into place whole, as the console is: several processes may do it at once.
  const made = `${OUTPUT}-${process.pid}`;
  await mkdir(join(made, version), { recursive: true });
  for (const name of OURS) await cp(join(ROOT, 'console/reference', name), join(made, version, name));
  if (existsSync(FONT)) await cp(FONT, join(made, version, basename(FONT)));
  const browser = join(SCALAR, 'dist/browser');
  for await (const name of glob(['standalone.esm.js', 'chunks/*.js'], { cwd: browser }))
    await cp(join(browser, name), join(made, version, name), { recursive: true });
  for await (const name of glob('**/*.{js,css}', { cwd: join(made, version) })) await compress(join(made, version, name));
  await replaceFolder(OUTPUT, made);
  return true;
}

/** Names the folder, so that a browser may keep for ever what is in it. */
async function versionOf(): Promise<string> {
  const hash = createHash('sha256').update(await readFile(join(SCALAR, 'package.json')));
  for (const name of OURS) hash.update(await readFile(join(ROOT, 'console/reference', name)));
  return hash.digest('hex').slice(0, 12);
}

async function compress(path: string): Promise<void> {
  const bytes = await readFile(path);
  const params = { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY };
  await writeFile(`${path}.br`, await promisify(brotliCompress)(bytes, { params }));
  await writeFile(`${path}.gz`, await promisify(gzip)(bytes));
}
