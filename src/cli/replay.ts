// `replay --webhook <id>`: sends again what a webhook did not get, and shows how far that is.
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { parseArgs } from 'node:util';
import { DeliveryStatus } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { type Replay, ReplayState } from '../../gen/homechef/webhook/v1/replay_pb.ts';
import { pause } from '../lifecycle/pause.ts';
import { connect, CONNECTION_USAGE, connectionOptions, type Connection } from './connection.ts';
import { type Command, UsageError, wholeNumber } from './usage.ts';

const USAGE = `Usage: replay --webhook <id> [options]

Sends again what a webhook did not get, each delivery once, and shows how far that is. It goes on when this command is ended.

  --status <name>        failed, cancelled or delivered; can be given more than once; failed when not given
  --since <time>         Made at or after this moment, as in 2026-11-27T22:00:00Z
  --until <time>         Made before this moment
  --event-type <name>    Only of this type; can be given more than once
  --include-missing      Also what the webhook would get today and has no delivery of
  --rate <number>        Deliveries a second, 1 to 1000; the webhook's own rate limit, or 50
  --dry-run              Only count what would be sent
${CONNECTION_USAGE}`;

export const replay: Command = { usage: USAGE, run };

const POLL_INTERVAL_MS = 500;
const BAR_CHARACTERS = 30;

const STATUSES: Readonly<Record<string, DeliveryStatus>> = {
  failed: DeliveryStatus.FAILED,
  cancelled: DeliveryStatus.CANCELLED,
  delivered: DeliveryStatus.DELIVERED,
};

const options = {
  ...connectionOptions,
  webhook: { type: 'string' },
  status: { type: 'string', multiple: true },
  since: { type: 'string' },
  until: { type: 'string' },
  'event-type': { type: 'string', multiple: true },
  'include-missing': { type: 'boolean' },
  rate: { type: 'string' },
  'dry-run': { type: 'boolean' },
} as const;

async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options });
  if (values.webhook === undefined) throw new UsageError('--webhook is missing');
  const { replays } = connect(values, 'developer');
  const made = await replays.createReplay({
    webhookId: values.webhook,
    statuses: (values.status ?? []).map(statusNamed),
    eventTypes: values['event-type'] ?? [],
    ...(values.since === undefined ? {} : { since: moment('--since', values.since) }),
    ...(values.until === undefined ? {} : { until: moment('--until', values.until) }),
    includeMissing: values['include-missing'] ?? false,
    ...(values.rate === undefined ? {} : { rate: wholeNumber('--rate', values.rate) }),
    dryRun: values['dry-run'] ?? false,
  });
  if (made.dryRun) return console.log(matched(made));
  console.log(`${made.id}  ${matched(made)}, ${made.rate} a second`);
  await follow(replays, made);
}

/** Until all that it sent has come to an end, or a call has paused or ended it. */
async function follow(replays: Connection['replays'], made: Replay): Promise<void> {
  const { webhookId, id: replayId } = made;
  let now = made;
  for (;;) {
    show(now);
    const ended = now.delivered + now.failed + now.cancelled;
    if (now.state === ReplayState.PAUSED || (now.endedAt !== undefined && ended >= now.released)) break;
    await pause(POLL_INTERVAL_MS);
    now = await replays.getReplay({ webhookId, replayId });
  }
  if (process.stdout.isTTY) console.log();
  console.log(`${nameOf(now.state)}: ${counts(now)}${now.reason === '' ? '' : ` (${now.reason})`}`);
}

// A bar belongs to a terminal: in a file it would be a line a look.
function show(now: Replay): void {
  if (!process.stdout.isTTY) return;
  const share = now.matched === 0 ? 1 : Math.min(1, now.released / now.matched);
  const filled = Math.round(share * BAR_CHARACTERS);
  const bar = '#'.repeat(filled) + '.'.repeat(BAR_CHARACTERS - filled);
  process.stdout.write(`\r[${bar}] ${counts(now)}${now.reason === '' ? '' : `, waits: ${now.reason}`}    `);
}

function nameOf(state: ReplayState): string {
  const named = Object.entries(ReplayState).find(([, value]) => value === state);
  return (named?.[0] ?? 'unknown').toLowerCase();
}

function counts({ released, delivered, failed }: Replay): string {
  return `${released} sent, ${delivered} delivered, ${failed} failed`;
}

function matched({ matched: count, matchedIsLowerBound }: Replay): string {
  return `${matchedIsLowerBound ? 'at least ' : ''}${count} deliveries match`;
}

function statusNamed(name: string): DeliveryStatus {
  const status = STATUSES[name];
  if (status === undefined) throw new UsageError(`--status: "${name}" is none of ${Object.keys(STATUSES).join(', ')}`);
  return status;
}

function moment(option: string, text: string) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new UsageError(`${option}: "${text}" is not a time, as in 2026-11-27T22:00:00Z`);
  return timestampFromDate(date);
}
