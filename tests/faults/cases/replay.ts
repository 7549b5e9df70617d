// A release beside new events: what was held comes before what is new.
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { quantile } from '../figures.ts';
import { unexplainedRepeats } from '../verdict.ts';
import type { World } from '../world.ts';

/** Deliveries at the scale of 1. */
const HELD = 10_000;
/** A second, of the release. */
const RATE = 500;
/** A step makes due what a tenth of a second allows; these leave side by side, as many at once as a webhook may have in flight. */
const NEIGHBOURS = 2 * (RATE / 10) + 32;

export const cases: readonly FaultCase[] = [
  {
    id: 'replay-order',
    title: 'what was held is resumed while new events come: none overtakes',
    ci: true,
    isAlone: true,
    async run(world, check, scale) {
      const count = Math.round(HELD * scale);
      const webhookId = await world.createWebhook('/held', { user_id: 'held', paused: true });
      await world.publishBacklog(count, 'held');
      const held = await world.count(`deliveries where held_at is not null and status = 'pending'`);
      check('all is held', held === count && world.sink.arrivals.length === 0, held);
      await world.rest('POST', `/api/v1/webhooks/${webhookId}/resume`, { rate: RATE });
      const fresh = await world.publishMany(Math.round(count / 10), RATE / 10, { userId: 'held' });
      await world.settle(120_000);
      const late = displacements(world, '/held');
      check('lost', world.sink.arrivals.length >= count + fresh.length, `${world.sink.arrivals.length} requests`);
      const repeats = await unexplainedRepeats(world);
      check('sent twice', repeats.length === 0, repeats.length);
      check(
        `none comes more than ${NEIGHBOURS} places behind a younger one`,
        Math.max(0, ...late) <= NEIGHBOURS,
        `most ${Math.max(0, ...late)}, 99 of 100 at most ${quantile(late, 0.99)}`,
      );
      await eventually(
        async () => {
          const { body } = await world.rest('GET', `/api/v1/webhooks/${webhookId}`);
          return body['release_id'] === '' && body['paused'] === false;
        },
        { what: 'the end of the release', deadlineMs: 30_000 },
      );
    },
  },
];

/** Of each delivery, how many younger ones arrived before it. */
function displacements(world: World, path: string): number[] {
  const first = [
    ...new Set(world.sink.arrivals.filter((arrival) => arrival.path === path).map(({ deliveryId }) => deliveryId)),
  ];
  const place = new Map(first.toSorted().map((id, index) => [id, index]));
  let youngest = -1;
  return first.map((id) => {
    const own = place.get(id) ?? 0;
    youngest = Math.max(youngest, own);
    return youngest - own;
  });
}
