// F20, F21: redirects into the forbidden, and name servers that lie, fail or say nothing.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { headerLines } from '../../../src/outbound/header-lines.ts';
import { HttpClient } from '../../../src/outbound/http-client.ts';
import { NameResolver } from '../../../src/outbound/name-resolver.ts';
import { EgressPolicy } from '../../../src/security/egress-policy.ts';
import { nameServer } from '../../outbound/name-server.ts';
import type { Report } from '../../security/egress-in-namespace.ts';
import type { FaultCase } from '../case.ts';
import { quantile } from '../figures.ts';
import { begun } from '../../delivery/begun.ts';

const run = promisify(execFile);
/** A private network in which every address is this machine's own, so that whatever is dialled is seen. */
const SET_UP = 'ip link set lo up && ip route add local 0.0.0.0/0 dev lo && ip -6 route add local ::/0 dev lo';
const TIMEOUT_MS = 2000;

export const cases: readonly FaultCase[] = [
  {
    id: 'F20',
    title: 'redirects to metadata and to a second host',
    ci: false,
    startsProcesses: false,
    async run(_world, check) {
      const { naive, redirects, good } = await inNamespace();
      check('without a guard the canaries are reached', (naive?.canary.length ?? 0) > 0, naive?.canary.length ?? 0);
      check('public receivers are reached', good?.outcomes['delivered'] === 3, JSON.stringify(good?.outcomes));
      check('canary', redirects?.canary.length === 0, redirects?.canary.join(' ') ?? 'no report');
      const hops = redirects?.public.filter((seen) => seen.includes('second-hop')) ?? ['no report'];
      check('second hop', hops.length === 0, hops.length);
      check('redirect_not_followed', redirects?.outcomes['redirect_not_followed'] === 2, JSON.stringify(redirects?.outcomes));
    },
  },
  {
    id: 'F21',
    title: 'names that rebind, mix, point elsewhere, fail or are never answered',
    ci: false,
    startsProcesses: false,
    async run(world, check) {
      const report = await inNamespace();
      const canaries = ['tricks', 'rebinding', 'names', 'metadata names, everything allowed'].map(
        (name) => report[name]?.canary.length ?? Number.NaN,
      );
      check(
        'canary',
        canaries.every((n) => n === 0),
        canaries.join(' '),
      );
      check(
        'mixed addresses and aliases are blocked',
        report['tricks']?.outcomes['ssrf_blocked'] === 3,
        JSON.stringify(report['tricks']?.outcomes),
      );
      const names = await nameServer((name) => {
        if (name.startsWith('nx')) return { failure: 'NXDOMAIN' };
        if (name.startsWith('fail')) return { failure: 'SERVFAIL' };
        if (name.startsWith('silent')) return 'silence';
        return { addresses: ['127.0.0.1'] };
      });
      const client = new HttpClient({
        policy: new EgressPolicy({ environment: 'test', egress: { allowedCidrs: ['127.0.0.0/8'], allowHttp: true } }),
        resolver: new NameResolver({ servers: [names.server], hostsPath: '/dev/null' }),
      });
      const post = async (host: string) => {
        const url = `http://${host}:${new URL(world.sink.url).port}/ok`;
        const outcome = await begun(
          client.post({ url, headers: headerLines({}), body: Buffer.from('{}'), timeoutMs: TIMEOUT_MS }),
        );
        return { code: outcome.error ?? 'delivered', durationMs: outcome.durationMs };
      };
      const [unknown, failing] = await Promise.all([post('nx.example'), post('fail.example')]);
      const silent = Promise.all(Array.from({ length: 100 }, (_, n) => post(`silent-${n}.example`)));
      // Their questions are out before the others ask: all at once would only fill the socket of this small name server.
      await wait(300);
      const others = await Promise.all(Array.from({ length: 50 }, (_, n) => post(`good-${n}.example`)));
      const unanswered = await silent;
      client.close();
      names.close();
      check(
        'NXDOMAIN and SERVFAIL: dns_error',
        unknown.code === 'dns_error' && failing.code === 'dns_error',
        `${unknown.code}, ${failing.code}`,
      );
      const longest = Math.max(...unanswered.map(({ durationMs }) => durationMs));
      const codes = [...new Set(unanswered.map(({ code }) => code))];
      check(
        'never answered: dns_error or timeout by the deadline',
        codes.every((code) => code === 'timeout' || code === 'dns_error') && longest <= TIMEOUT_MS + 700,
        `${codes.join(', ')} within ${longest} ms`,
      );
      const p95 = quantile(
        others.map(({ durationMs }) => durationMs),
        0.95,
      );
      check(
        'beside a hundred of those, others are delivered at once',
        others.every(({ code }) => code === 'delivered') && p95 < 500,
        `p95 ${p95} ms`,
      );
    },
  },
];

async function inNamespace(): Promise<Record<string, Report>> {
  const script = fileURLToPath(new URL('../../security/egress-in-namespace.ts', import.meta.url));
  const flags = process.getuid?.() === 0 ? ['-n'] : ['-r', '-n'];
  const { stdout } = await run('unshare', [...flags, 'sh', '-c', `${SET_UP} && exec "$0" "$1"`, process.execPath, script], {
    timeout: 120_000,
  });
  return JSON.parse(stdout) as Record<string, Report>;
}
