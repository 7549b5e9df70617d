// Folders under dist/ that are made from sources: when they are out of date, and how a new one takes their place.
import { existsSync } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Whether `made`, a file, is missing or older than anything in `sources`, which are files and folders. */
export async function isOutOfDate(made: string, sources: readonly string[]): Promise<boolean> {
  if (!existsSync(made)) return true;
  const builtAtMs = (await stat(made)).mtimeMs;
  const changedAtMs = await Promise.all(sources.map(newestMs));
  return Math.max(...changedAtMs) > builtAtMs;
}

async function newestMs(path: string): Promise<number> {
  const entry = await stat(path);
  if (!entry.isDirectory()) return entry.mtimeMs;
  const names = await readdir(path);
  return Math.max(entry.mtimeMs, ...(await Promise.all(names.map((name) => newestMs(join(path, name))))));
}

/** Moves `made` to `target` whole: several processes may make one at once, and others may be reading it. */
export async function replaceFolder(target: string, made: string): Promise<void> {
  const old = `${made}-old`;
  await rename(target, old).catch(() => {});
  // Fails where another process was quicker, whose result is just as good.
  await rename(made, target).catch(() => {});
  await Promise.all([old, made].map((path) => rm(path, { recursive: true, force: true })));
}
