// Server-side request forgery, tried for real: in a private network where every address answers, no forbidden one is ever reached.
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Report } from './egress-in-namespace.ts';

const TIMEOUT_MS = 60_000;
const unshare = process.getuid?.() === 0 ? ['-n'] : ['-r', '-n'];
// A local route for everything turns all addresses into this machine's own.
const setUp = 'ip link set lo up && ip route add local 0.0.0.0/0 dev lo && ip -6 route add local ::/0 dev lo';

const trial = spawnSync('unshare', [...unshare, 'sh', '-c', setUp], { encoding: 'utf8' });
const possible = trial.status === 0;
if (!possible) {
  console.warn(
    `egress-namespace.test.ts is skipped: no private network namespace here (${trial.error?.message ?? trial.stderr.trim()})`,
  );
}

describe.skipIf(!possible)('in a network where every address answers', () => {
  let report: Record<string, Report> = {};

  beforeAll(() => {
    const script = fileURLToPath(new URL('egress-in-namespace.ts', import.meta.url));
    const output = execFileSync('unshare', [...unshare, 'sh', '-c', `${setUp} && exec "$0" "$1"`, process.execPath, script], {
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    });
    report = JSON.parse(output);
  }, TIMEOUT_MS);

  it('an unguarded client reaches the canaries', () => {
    expect(report['naive']?.canary.toSorted()).toEqual(
      ['10.0.0.1', '127.0.0.1', '168.63.129.16', '169.254.169.254', '169.254.169.254', 'fd00:ec2::254'].toSorted(),
    );
    expect(report['naive']?.public).toEqual(['8.8.8.8/naive']);
  });

  it.each([
    'URLs',
    'dials',
    'names',
    'metadata URLs, everything allowed',
    'metadata dials, everything allowed',
    'metadata names, everything allowed',
    'tricks',
  ])('%s: nothing forbidden is reached, and nothing else either', (section) => {
    const { canary, public: reached, outcomes } = report[section] ?? { canary: ['no report'], public: [], outcomes: {} };
    expect(canary).toEqual([]);
    expect(reached).toEqual([]);
    expect(Object.keys(outcomes)).toEqual(['ssrf_blocked']);
    expect(outcomes['ssrf_blocked']).toBeGreaterThanOrEqual(3);
  });

  it('a name that changes its mind reaches the public address or nothing', () => {
    expect(report['rebinding']).toEqual({
      canary: [],
      public: Array.from({ length: 10 }, () => '8.8.8.8/hook'),
      outcomes: { delivered: 10, ssrf_blocked: 10 },
    });
  });

  it('a redirect leads nowhere, neither to metadata nor to a public second hop', () => {
    expect(report['redirects']).toEqual({
      canary: [],
      public: ['8.8.8.8/to-metadata', '8.8.8.8/to-public'],
      outcomes: { redirect_not_followed: 2 },
    });
  });

  it('public addresses are reached', () => {
    expect(report['good']).toEqual({
      canary: [],
      public: ['2606:4700:4700::1111/hook', '8.8.8.8/hook', '8.8.8.8/hook'],
      outcomes: { delivered: 3 },
    });
  });
});
