// The division of descriptors: no part gets more than asked for, and all together never more than there are.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ConfigError } from '../../src/config.ts';
import { divideDescriptors } from '../../src/app/descriptor-budget.ts';

const wanted = { outbound: 1000, http: 12_000, grpc: 4000 };
const own = 96;

test('every part gets what was asked for where there is enough, and where the system names no limit', () => {
  for (const limit of [20_000, 1_048_576, Number.POSITIVE_INFINITY]) {
    expect(divideDescriptors(limit, wanted)).toEqual({ ...wanted, limit, isReduced: false });
  }
});

test('whatever the limit, the shares and the process’s own descriptors fit into it, and no part is left without', () => {
  for (let limit = 192; limit < 20_000; limit += 7) {
    const { outbound, http, grpc, isReduced } = divideDescriptors(limit, wanted);
    expect(outbound + http + grpc + own).toBeLessThanOrEqual(limit);
    expect(Math.min(outbound, http, grpc)).toBeGreaterThanOrEqual(6);
    expect(outbound).toBeGreaterThanOrEqual(Math.min(wanted.outbound, Math.floor((limit - own) / 2)));
    expect(isReduced).toBe(outbound < wanted.outbound || http < wanted.http || grpc < wanted.grpc);
  }
});

test('what one does not ask for is left to the others', () => {
  expect(divideDescriptors(1096, { outbound: 64, http: 12_000, grpc: 0 })).toMatchObject({ outbound: 64, http: 936, grpc: 0 });
  expect(divideDescriptors(1096, { outbound: 1000, http: 64, grpc: 0 })).toMatchObject({ outbound: 936, http: 64, grpc: 0 });
});

test('a limit that no useful process fits into is refused in one sentence', () => {
  expect(() => divideDescriptors(191, wanted)).toThrow(ConfigError);
  expect(() => divideDescriptors(191, wanted)).toThrow(/^this process may open 191 files and sockets; it needs at least 192/);
});

test.skipIf(process.platform === 'win32')('the limit is the one that the process was started with', () => {
  const module = fileURLToPath(new URL('../../src/app/descriptor-budget.ts', import.meta.url));
  const script = `import { readDescriptorLimit } from ${JSON.stringify(module)}; console.log(readDescriptorLimit());`;
  const command = 'ulimit -n 300 && exec "$0" --input-type=module -e "$1"';
  expect(execFileSync('sh', ['-c', command, process.execPath, script], { encoding: 'utf8' }).trim()).toBe('300');
});
