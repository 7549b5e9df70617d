// A process that takes all its descriptors but a few, sends requests, and lets go of them after a while: `node starved.ts <what>`, under ulimit.
import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient } from '../../src/outbound/http-client.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';

const {
  urls,
  starvedMs,
  left = 0,
} = JSON.parse(process.argv[2] ?? '') as {
  urls: string[];
  /** 0: they are kept. */
  starvedMs: number;
  /** How many are left to the requests. */
  left?: number;
};
const egress = { allowedCidrs: ['127.0.0.0/8'], allowHttp: true };
const client = new HttpClient({ policy: new EgressPolicy({ environment: 'development', egress }) });

const taken: number[] = [];
try {
  for (;;) taken.push(openSync(devNull, 'r'));
} catch {
  for (const descriptor of taken.splice(0, left)) closeSync(descriptor);
}
if (starvedMs > 0) setTimeout(() => taken.forEach((descriptor) => closeSync(descriptor)), starvedMs);
// What waits for a socket has none to keep the process alive.
const alive = setInterval(() => {}, 1000);
const outcomes = await Promise.all(
  urls.map((url) => client.post({ url, headers: headerLines({}), body: Buffer.from('{}'), timeoutMs: 5000 })),
);
// No descriptor may be left to load what console.log wants.
process.stdout.write(JSON.stringify(outcomes));
client.close();
clearInterval(alive);
