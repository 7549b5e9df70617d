// A whole process that may open no more files: deliveries wait for it, and no receiver is charged.
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, startProcess } from '../fixtures/process.ts';
import { startReceiver } from '../fixtures/receiver.ts';
import { createWebhook } from '../fixtures/scenario.ts';

const EVENTS = 20;

test.skipIf(!hasPrlimit())(
  'deliveries of a process without descriptors are made once it has some, each in one attempt',
  async () => {
    const [database, receiver] = await Promise.all([createTestDatabase(), startReceiver()]);
    receiver.script('/ok', (socket) => socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'));
    const service = await startProcess({ ...envOf(database.config, null), ENVIRONMENT: 'test', LOG_LEVEL: 'warn' });
    try {
      const publisher = await service.as('orders', 'service');
      const developer = await service.as('user123');
      await createWebhook(developer, receiver.url('/ok'), { retry_policy: { max_retries: 0, retry_delay: 1 } });
      const events = Array.from({ length: EVENTS }, (_, n) => ({
        event_type: 'order.created',
        data: { n },
        audience: { user_ids: ['user123'] },
      }));
      const publish = () => publisher('POST', '/api/v1/events/batch', { events });
      expect((await publish()).body.accepted).toBe(EVENTS);
      await receiver.waitFor((requests) => requests.length === EVENTS);

      const limit = await limitFiles(service.pid, '1');
      expect((await publish()).body.accepted).toBe(EVENTS);
      const ready = await eventually(
        async () => {
          const answer = await fetch(`${service.http}/readyz`);
          const checks = (await answer.json()) as { sockets: string };
          return checks.sockets === 'degraded' && answer;
        },
        { what: 'the shortage told of' },
      );
      expect(ready.status).toBe(200);
      // One line a second: longer than a request waits, so that deliveries have gone back to the schedule and come again.
      const told = () => service.lines.filter((line) => line.includes('requests to receivers wait')).length;
      await eventually(() => told() >= 3, { what: 'three seconds without a descriptor' });
      expect(receiver.requests).toHaveLength(EVENTS);
      await limitFiles(service.pid, limit);

      await receiver.waitFor((requests) => requests.length === 2 * EVENTS, 30_000);
      const deliveries = await eventually(async () => {
        const { body } = await developer('GET', '/api/v1/webhooks/deliveries?limit=100');
        return body.deliveries.every(({ status }: { status: string }) => status === 'delivered') && body.deliveries;
      });
      expect(deliveries).toHaveLength(2 * EVENTS);
      for (const delivery of deliveries) expect(delivery).toMatchObject({ status: 'delivered', attempt_count: 1 });
      expect(told()).toBeLessThan(20);
    } finally {
      await service.stop();
      await Promise.all([receiver.close(), database.drop()]);
    }
  },
  120_000,
);

function hasPrlimit(): boolean {
  try {
    execFileSync('prlimit', ['--version']);
    return true;
  } catch {
    return false;
  }
}

/** Sets the soft limit of open files, which takes nothing away that is open. Returns what it was. */
async function limitFiles(pid: number, files: string): Promise<string> {
  const prlimit = promisify(execFile);
  const { stdout } = await prlimit('prlimit', ['--pid', String(pid), '--nofile', '--output', 'SOFT', '--noheadings']);
  await prlimit('prlimit', ['--pid', String(pid), `--nofile=${files}:`]);
  return stdout.trim();
}
