// The Lua scripts of src/schedule/lua: one a file, the number of keys in its name.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Script } from '../persistence/redis.ts';

/** Reads `<name>.lua`, with `shard.lua` in front, which every script of the schedule begins with. */
export function loadScript(name: string): Script {
  const text = `${readLua('shard')}\n${readLua(name)}`;
  return { text, sha: createHash('sha1').update(text).digest('hex'), keyCount: Number(name.slice(name.lastIndexOf('-') + 1)) };
}

function readLua(name: string): string {
  return readFileSync(new URL(`lua/${name}.lua`, import.meta.url), 'utf8');
}
