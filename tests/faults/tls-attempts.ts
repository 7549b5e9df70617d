// Makes ten thousand attempts at receivers whose certificates cannot be trusted, and prints what came of them and what they cost.
import { readFileSync } from 'node:fs';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient } from '../../src/outbound/http-client.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { begun } from '../delivery/begun.ts';

const AT_ONCE = 32;
/** After so many, V8 and the allocator have taken what they take: measured, the resident set then stays as it is. */
const WARM_UP = 10_000;
const ATTEMPTS = 10_000;

const client = new HttpClient({
  policy: new EgressPolicy({ environment: 'production', egress: { allowedCidrs: ['127.0.0.0/8'], allowHttp: false } }),
  // Else a certificate of another host would show by its issuer.
  trustedCertificates: [readFileSync(new URL('../delivery/certificates/ca.pem', import.meta.url), 'utf8')],
});
const urls = process.argv.slice(2);
const codes: Record<string, number> = {};

await attempts(WARM_UP);
const before = residentMb();
for (const code of Object.keys(codes)) delete codes[code];
await attempts(ATTEMPTS);
console.log(JSON.stringify({ codes, grownMb: residentMb() - before }));
process.exit(0);

async function attempts(count: number): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    for (let n = next++; n < count; n = next++) {
      const outcome = await begun(
        client.post({ url: urls[n % urls.length] ?? '', headers: headerLines({}), body: Buffer.from('{}'), timeoutMs: 10_000 }),
      );
      codes[outcome.error ?? 'delivered'] = (codes[outcome.error ?? 'delivered'] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

function residentMb(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss() / 1024 / 1024;
}
