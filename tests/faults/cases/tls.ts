// F32: certificates that cannot be trusted, ten thousand times.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { FaultCase } from '../case.ts';

const certificate = (name: string): string =>
  readFileSync(new URL(`../../delivery/certificates/${name}`, import.meta.url), 'utf8');

export const cases: readonly FaultCase[] = [
  {
    id: 'F32',
    title: '10,000 attempts at certificates that are self-signed, expired, or of another host',
    ci: false,
    startsProcesses: false,
    async run(_world, check) {
      const servers: Server[] = [];
      let answered = 0;
      for (const name of ['self-signed.pem', 'expired.pem', 'wrong-host.pem']) {
        const server = createServer({ key: certificate('server.key'), cert: certificate(name) }, (socket) => {
          socket.on('error', () => undefined);
          socket.on('data', () => (answered += 1));
        });
        server.on('tlsClientError', () => undefined);
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        servers.push(server);
      }
      const urls = servers.map((server) => `https://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      const script = fileURLToPath(new URL('../tls-attempts.ts', import.meta.url));
      const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script, ...urls]);
      for (const server of servers) server.close();
      const { codes, grownMb } = JSON.parse(stdout) as { codes: Record<string, number>; grownMb: number };
      const told = ['self_signed', 'expired', 'wrong_name'].map((cause) => codes[`tls_certificate_${cause}`] ?? 0);
      check(
        'every attempt says why',
        told.every((count) => count > 0) && told.reduce((a, b) => a + b) === 10_000,
        JSON.stringify(codes),
      );
      check('not a byte of a request was sent', answered === 0, answered);
      check('memory grows by less than 30 MB', grownMb < 30, `${grownMb.toFixed(1)} MB`);
    },
  },
];
