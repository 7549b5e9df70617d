// `replay --webhook <id>`: sends again what a webhook did not get, and shows how far that is; without a webhook, what many did not get.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { parseArgs } from 'node:util';
import { DeliveryStatus } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { type CreateReplaysRequestSchema, type Replay, ReplayState } from '../../gen/homechef/webhook/v1/replay_pb.ts';
import { pause } from '../lifecycle/pause.ts';
import { connect, CONNECTION_USAGE, connectionOptions, type Connection, printable } from './connection.ts';
import { moment } from './moment.ts';
import { type Command, UsageError, wholeNumber } from './usage.ts';

const USAGE = `Usage: replay --webhook <id> [options]
       replay --of-user <id> | --since <time> | --error-code <name> | --http-status <number> [options]

Sends again what a webhook did not get, each delivery once, and shows how far that is. It goes on when this command is ended.
Without --webhook, for operators: begins a replay of every webhook, or of every webhook of one user, that has something to send.

  --of-user <id>         Without --webhook: only webhooks of this user
  --error-code <name>    Whose last attempt ended like this, as in timeout; can be given more than once
  --http-status <number> Whose last answer had this status; can be given more than once
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
  'of-user': { type: 'string' },
  'error-code': { type: 'string', multiple: true },
  'http-status': { type: 'string', multiple: true },
  'include-missing': { type: 'boolean' },
  rate: { type: 'string' },
  'dry-run': { type: 'boolean' },
} as const;

async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options });
  const asked = {
    statuses: (values.status ?? []).map(statusNamed),
    eventTypes: values['event-type'] ?? [],
    errorCodes: values['error-code'] ?? [],
    httpStatuses: (values['http-status'] ?? []).map((text) => wholeNumber('--http-status', text)),
    ...(values.since === undefined ? {} : { since: moment('--since', values.since) }),
    ...(values.until === undefined ? {} : { until: moment('--until', values.until) }),
    ...(values.rate === undefined ? {} : { rate: wholeNumber('--rate', values.rate) }),
    dryRun: values['dry-run'] ?? false,
  };
  const { webhook: webhookId, 'of-user': userId = '', 'include-missing': includeMissing = false } = values;
  if (webhookId === undefined) {
    if (includeMissing) throw new UsageError('--include-missing needs --webhook');
    if (userId === '' && values.since === undefined && asked.errorCodes.length + asked.httpStatuses.length === 0)
      throw new UsageError('Give --webhook, or one of --of-user, --since, --error-code and --http-status.');
    return replayMany(connect(values, 'admin').replays, { ...asked, userId });
  }
  if (userId !== '') throw new UsageError('Give --webhook or --of-user, and not both.');
  const { replays } = connect(values, 'developer');
  const made = await replays.createReplay({ ...asked, webhookId, includeMissing });
  if (made.dryRun) return console.log(matched(made));
  console.log(`${made.id}  ${matched(made)}, ${made.rate} a second`);
  await follow(replays, made);
}

type AskedOfMany = Omit<MessageInitShape<typeof CreateReplaysRequestSchema>, '$typeName' | '$unknown'>;

/** A line a webhook. They go on by themselves. */
async function replayMany(replays: Connection['replays'], asked: AskedOfMany): Promise<void> {
  let webhooks = 0;
  let pageToken = '';
  do {
    const page = await replays.createReplays({ ...asked, pageToken });
    for (const made of page.replays) console.log(`${made.webhookId}  ${made.id === '' ? '' : `${made.id}  `}${matched(made)}`);
    for (const { webhookId, code, message } of page.skipped)
      console.log(`${webhookId}  skipped: ${code}: ${printable(message)}`);
    webhooks += page.replays.length;
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  console.log(`${webhooks} webhooks`);
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
  const status = Object.hasOwn(STATUSES, name) ? STATUSES[name] : undefined;
  if (status === undefined) throw new UsageError(`--status: "${name}" is none of ${Object.keys(STATUSES).join(', ')}`);
  return status;
}
