// The recorder: sending pauses from the first outcome that cannot be written until one that was begun later has been.
import { expect, test } from 'vitest';
import { Recorder, type RecorderOptions } from '../../src/delivery/recorder.ts';
import type { Target } from '../../src/delivery/webhook-directory.ts';
import type { RecordedState } from '../../src/persistence/queries/record-outcomes.ts';
import type { Outcome } from '../../src/domain/delivery.ts';
import type { Scheduler } from '../../src/schedule/scheduler.ts';
import { quietTelemetry } from '../../src/telemetry/telemetry.ts';
import { eventually } from '../fixtures/eventually.ts';
import { taskOf } from './tasks.ts';

const target = { id: 'webhook_1', userId: 'alice', policy: { maxRetries: 3, retryDelayMs: 1000, timeoutMs: 1000 } } as Target;
const delivered: Outcome = {
  startedAtMs: 0,
  durationMs: 1,
  httpStatus: 200,
  response: null,
  responseTruncated: false,
  responseOddity: null,
  error: null,
  retryAfterMs: null,
  transcript: null,
};
const failed: Outcome = { ...delivered, httpStatus: 500, error: 'http_status' };
const state: RecordedState = { status: 'delivered', nextAttemptAtMs: null, deliveredAtMs: 1, failedAtMs: null, updatedAtMs: 1 };

function newRecorder(record: RecorderOptions['record']): Recorder {
  return new Recorder({
    record,
    enqueueTurns: () => Promise.resolve(),
    scheduler: { settle: () => Promise.resolve() } as unknown as Scheduler,
    publish: () => undefined,
    isWatched: () => false,
    onRetry: () => undefined,
    telemetry: quietTelemetry(),
  });
}

/** Each write waits until it is answered or refused by its number. */
function recorderWithWrites() {
  const writes: { succeed(): void; fail(): void }[] = [];
  const recorder = newRecorder(
    (rows) =>
      new Promise((resolve, reject) => {
        writes.push({
          succeed: () => resolve(rows.map(() => state)),
          fail: () => reject(new Error('the database is away')),
        });
      }),
  );
  return { recorder, writes };
}

const live = { ...taskOf('webhook_1', 1).lease, expiresAt: Number.POSITIVE_INFINITY };

test('a write that began before the failure does not end the pause, one that began after it does', async () => {
  const { recorder, writes } = recorderWithWrites();
  recorder.record(taskOf('webhook_1', 1, { lease: live }), delivered, target, '');
  await eventually(() => writes.length === 1);
  recorder.record(taskOf('webhook_1', 2, { lease: live }), delivered, target, '');
  await eventually(() => writes.length === 2);
  writes[1]?.fail();
  await eventually(() => recorder.isStalled);
  writes[0]?.succeed();
  await eventually(() => recorder.unwritten === 1);
  expect(recorder.isStalled).toBe(true);
  await eventually(() => writes.length === 3);
  writes[2]?.succeed();
  await eventually(() => !recorder.isStalled);
});

test('a batch in which nothing is left to write does not end the pause for the others', async () => {
  const { recorder, writes } = recorderWithWrites();
  recorder.record(taskOf('webhook_1', 1, { lease: live }), delivered, target, '');
  await eventually(() => writes.length === 1);
  writes[0]?.fail();
  await eventually(() => recorder.isStalled);
  // Its lease is over and it brings no good news: it is dropped without a write.
  recorder.record(taskOf('webhook_1', 2), failed, target, '');
  await eventually(() => recorder.unwritten === 1);
  expect(recorder.isStalled).toBe(true);
  await eventually(() => writes.length === 2);
  writes[1]?.succeed();
  await eventually(() => !recorder.isStalled);
});

test('outcomes that trickle in share statements: no more than one every 20 ms', async () => {
  let statements = 0;
  const recorder = newRecorder((rows) => {
    statements += 1;
    return Promise.resolve(rows.map(() => state));
  });
  const beganAt = performance.now();
  for (let n = 0; n < 200; n += 1) {
    recorder.record(taskOf('webhook_1', n, { lease: live }), delivered, target, '');
    await new Promise((resolve) => setImmediate(resolve));
  }
  await recorder.idle();
  // A timer may be a millisecond early; the first and the last statement need no full interval.
  expect(statements).toBeLessThanOrEqual((performance.now() - beganAt) / 19 + 2);
});
