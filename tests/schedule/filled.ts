import type { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';

/** What the reconciler does to an empty Redis without due deliveries: from now on it gives out what it holds. */
export async function fill(index: RedisScheduler): Promise<void> {
  await index.beginBuild('test');
  await index.completeBuild('test');
}
