// F33: those who watch, while a worker, Redis and PostgreSQL die.
import { setTimeout as wait } from 'node:timers/promises';
import { eventually } from '../../fixtures/eventually.ts';
import { bearer, openSocket, watchStream } from '../../realtime/watching.ts';
import type { FaultCase } from '../case.ts';
import { judge } from '../verdict.ts';
import { tokenOf } from '../world.ts';

interface Watcher {
  /** Deliveries whose end was seen. */
  readonly ended: Set<string>;
  readonly foreign: Set<string>;
  reconnects: number;
  stop(): void;
}

const EACH = 20;

export const cases: readonly FaultCase[] = [
  {
    id: 'F33',
    title: 'twenty WebSockets and twenty streams while a worker, Redis and PostgreSQL die',
    ci: false,
    async run(world, check) {
      await world.createWebhook('/ok');
      await world.createWebhook('/other', { user_id: 'another' });
      const token = await tokenOf('someone', 'developer');
      const watchers: Watcher[] = [];
      for (let n = 0; n < EACH; n += 1) {
        watchers.push(
          watchSocket(world.api.http, token, n === 0),
          watchOverStream(n % 2 === 0 ? world.api.http : world.api.grpc, token),
        );
      }
      await wait(2000);
      const publishing = Promise.all([world.publishMany(1500, 50), world.publishMany(300, 10, { userId: 'another' })]);
      await wait(4000);
      await world.w1.kill();
      world.w1 = await world.startProcess('worker');
      await wait(3000);
      await world.redis.kill();
      await wait(3000);
      await world.redis.run();
      await wait(5000);
      await world.postgres.restart('immediate');
      await publishing;
      await world.settle();
      const rows = await world.postgres.query<{ id: string }>(`select id from deliveries where user_id = 'someone'`);
      const missing = (): number[] => watchers.map(({ ended }) => rows.filter(({ id }) => !ended.has(id)).length);
      await eventually(() => missing().every((n) => n === 0), {
        what: 'every end seen',
        deadlineMs: 60_000,
        intervalMs: 200,
      }).catch(() => undefined);
      const unseen = missing();
      for (const watcher of watchers) watcher.stop();
      const verdict = await judge(world);
      check(
        'every end was seen by every watcher',
        unseen.every((n) => n === 0),
        `${Math.max(...unseen)} of ${rows.length} missing at worst`,
      );
      const foreign = watchers.reduce((sum, watcher) => sum + watcher.foreign.size, 0);
      check('no message of another user', foreign === 0, foreign);
      const reconnects = watchers.reduce((sum, watcher) => sum + watcher.reconnects, 0);
      check('the slow reader was not waited for', rows.length >= 1000, `${reconnects} reconnects in all`);
      check('lost', verdict.lost === 0, verdict.lost);
    },
  },
];

function watchSocket(http: string, token: string, isSlow: boolean): Watcher {
  let isStopped = false;
  let cursor = '';
  let current: ReturnType<typeof openSocket> | undefined;
  const watcher: Watcher = {
    ended: new Set(),
    foreign: new Set(),
    reconnects: -1,
    stop: () => ((isStopped = true), current?.socket.close()),
  };
  void (async () => {
    while (!isStopped) {
      watcher.reconnects += 1;
      current = openSocket(http, cursor === '' ? '' : `?after=${encodeURIComponent(cursor)}`, bearer(token));
      const { socket } = current;
      socket.on('message', (data: Buffer) => {
        const { type, cursor: at, data: update } = JSON.parse(data.toString());
        if (typeof at === 'string' && at !== '') cursor = at;
        if (type === 'webhook_delivery' || type === 'webhook_failed') watcher.ended.add(update.delivery_id);
        if (update?.user_id !== undefined && update.user_id !== 'someone') watcher.foreign.add(update.delivery_id);
        // It reads for a moment, then not at all, then again.
        if (isSlow) {
          socket.pause();
          setTimeout(() => socket.resume(), 100).unref();
        }
      });
      if ((await current.refused) === undefined) await current.closed;
      await wait(200);
    }
  })();
  return watcher;
}

function watchOverStream(address: string, token: string): Watcher {
  let isStopped = false;
  let cursor = '';
  let current: ReturnType<typeof watchStream> | undefined;
  const watcher: Watcher = {
    ended: new Set(),
    foreign: new Set(),
    reconnects: -1,
    stop: () => ((isStopped = true), current?.cancel()),
  };
  void (async () => {
    while (!isStopped) {
      watcher.reconnects += 1;
      const stream = (current = watchStream(address, token, cursor === '' ? {} : { after: cursor }));
      let read = 0;
      const take = (): void => {
        for (; read < stream.messages.length; read += 1) {
          const told = stream.messages[read];
          if (told === undefined) return;
          if (told.cursor !== '') cursor = told.cursor;
          if (told.message.case !== 'delivery') continue;
          const { id, userId, deliveredAt, failedAt } = told.message.value as {
            id: string;
            userId?: string;
            deliveredAt?: object;
            failedAt?: object;
          };
          if (deliveredAt !== undefined || failedAt !== undefined) watcher.ended.add(id);
          if (userId !== undefined && userId !== 'someone') watcher.foreign.add(id);
        }
      };
      const timer = setInterval(take, 50);
      await stream.ended;
      clearInterval(timer);
      take();
      await wait(200);
    }
  })();
  return watcher;
}
