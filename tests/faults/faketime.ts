// libfaketime: gives one program a clock of its own, set by a file while it runs.
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** The path of the library; null where it is not installed. */
export async function findFaketime(): Promise<string | null> {
  for (const folder of await readdir('/usr/lib').catch(() => [])) {
    const file = join('/usr/lib', folder, 'faketime', 'libfaketime.so.1');
    if (existsSync(file)) return file;
  }
  return null;
}

/** Why a fault cannot be played here; null when it can. */
export async function needsFaketime(): Promise<string | null> {
  return (await findFaketime()) === null ? 'libfaketime is not installed (apt-get install faketime)' : null;
}

/** The variables that put a program under it; only the wall clock is changed, and its offset is read each time. */
export function faketimeEnv(library: string): Record<string, string> {
  return { LD_PRELOAD: library, FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1', FAKETIME_NO_CACHE: '1' };
}
