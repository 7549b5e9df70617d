// The compilers and generators that a client in some language needs, kept in node_modules/.cache between runs.
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(ROOT, 'node_modules/.cache/clients');
const DOCUMENT = join(ROOT, 'gen/openapi.json');
/** Warnings of a compiler over a whole generated client. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
const GENERATOR_VERSION = '7.25.0';
const GENERATOR = join(CACHE, `openapi-generator-cli-${GENERATOR_VERSION}.jar`);
export const OAPI_CODEGEN = 'github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.5.0';

/** A folder with the program of this name; what a run before has installed there is kept. */
export class Workshop {
  readonly folder: string;

  constructor(name: string) {
    this.folder = join(CACHE, name);
    rmSync(join(this.folder, 'generated'), { recursive: true, force: true });
    mkdirSync(join(this.folder, 'generated'), { recursive: true });
    cpSync(join(ROOT, 'tests/clients/programs', name), this.folder, { recursive: true });
  }

  has(file: string): boolean {
    return existsSync(join(this.folder, file));
  }

  /** What the program printed; rejects with all that it said when it fails. */
  async run(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const options = { cwd: this.folder, env: { ...process.env, ...env }, maxBuffer: MAX_OUTPUT_BYTES };
    try {
      return (await run(program, args, options)).stdout;
    } catch (cause) {
      const { stdout, stderr } = cause as { stdout: string; stderr: string };
      throw new Error(`${program} ${args.join(' ')}\n${stdout}${stderr}`, { cause });
    }
  }

  async generate(generator: string, options: readonly string[] = []): Promise<void> {
    await fetchGenerator();
    await this.run('java', ['-jar', GENERATOR, 'generate', '-i', DOCUMENT, '-g', generator, '-o', 'generated', ...options]);
  }

  /** The document's path, for generators that are called directly. */
  get document(): string {
    return DOCUMENT;
  }
}

async function fetchGenerator(): Promise<void> {
  if (existsSync(GENERATOR)) return;
  const artifact = `org.openapitools:openapi-generator-cli:${GENERATOR_VERSION}`;
  const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1';
  await run('mvn', ['-q', '-B', `${plugin}:copy`, `-Dartifact=${artifact}`, `-DoutputDirectory=${CACHE}`]);
}

/** The programs of these that this machine lacks. */
export function missing(commands: readonly (readonly [string, ...string[]])[]): string[] {
  return commands.flatMap(([program, ...args]) => {
    try {
      execFileSync(program, args, { stdio: 'ignore' });
      return [];
    } catch {
      return [program];
    }
  });
}
