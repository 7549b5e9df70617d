// Builds the console into dist/console when it is missing or older than what it is made of, and compresses it once for all readers.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { isOutOfDate, replaceFolder } from '../src/tools/output-folder.ts';
import { buildReference } from './build-reference.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SOURCES = ['console', 'gen', 'package-lock.json'].map((path) => join(ROOT, path));
const OUTPUT = join(ROOT, 'dist/console');
/** Fonts and images are compressed already. */
const COMPRESSIBLE = /\.(html|js|css|svg|json)$/;

/** Resolves to whether it built. A machine without the bundler (a production install) keeps what it has. */
export async function buildConsole(options: { readonly force: boolean }): Promise<boolean> {
  if (!options.force && !(await isOutOfDate(join(OUTPUT, 'index.html'), SOURCES))) return false;
  const vite = await import('vite').catch(() => null);
  if (vite === null) {
    process.stderr.write(
      'The console is missing or out of date, and vite is not installed: `npm install && npm run build:console` builds it.\n',
    );
    return false;
  }
  // Built aside: several processes may find it stale at once, and others may be reading it.
  const made = `${OUTPUT}-${process.pid}`;
  // A test runner sets NODE_ENV, and would get the development build: larger, slower, with this machine's paths in it.
  const environment = process.env['NODE_ENV'];
  process.env['NODE_ENV'] = 'production';
  try {
    await vite.build({ configFile: join(ROOT, 'console/vite.config.ts'), logLevel: 'warn', build: { outDir: made } });
  } finally {
    if (environment === undefined) delete process.env['NODE_ENV'];
    else process.env['NODE_ENV'] = environment;
  }
  await compressAll(made);
  await replaceFolder(OUTPUT, made);
  return true;
}

async function compressAll(directory: string): Promise<void> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && COMPRESSIBLE.test(entry.name));
  await Promise.all(
    files.map(async (entry) => {
      const path = join(entry.parentPath, entry.name);
      // The page itself is filled in when the service starts, so it is compressed there.
      if (entry.name === 'index.html') return;
      const bytes = await readFile(path);
      const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };
      await writeFile(`${path}.br`, await promisify(brotliCompress)(bytes, quality));
      await writeFile(`${path}.gz`, await promisify(gzip)(bytes, { level: 9 }));
    }),
  );
}

if (import.meta.main) {
  const force = process.argv.includes('--force');
  if (await buildConsole({ force })) process.stdout.write('Built the console into dist/console.\n');
  if (await buildReference({ force })) process.stdout.write('Built the reference into dist/docs.\n');
}
