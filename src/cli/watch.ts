// `watch`: deliveries as they happen, as a table that stays in place, or as lines where there is no terminal.
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { parseArgs } from 'node:util';
import { type Delivery, type DeliveryStatus, DeliveryStatusSchema } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { connect, CONNECTION_USAGE, connectionOptions, explain, printable } from './connection.ts';
import { follow } from './follow.ts';
import { untilInterrupted } from './interrupt.ts';
import { type Command, UsageError } from './usage.ts';

const USAGE = `Usage: watch [options]

Shows deliveries as they happen. Ctrl-C ends it.

  --webhook <id>   Only this webhook's; may be repeated
  --event <type>   Only of this type; may be repeated
  --status <s>     Only pending, retrying, delivered, failed or cancelled; may be repeated
  --after <cursor> Start from this cursor instead of from now
${CONNECTION_USAGE}`;

/** Often enough to look alive, seldom enough for a slow terminal under a burst. */
const REDRAW_INTERVAL_MS = 100;
/** Title, headings, and a line at the bottom. */
const FRAME_ROWS = 4;
const ENTER_SCREEN = '\x1b[?1049h\x1b[?25l';
const LEAVE_SCREEN = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const COLOURS: Record<string, string> = {
  delivered: '\x1b[32m',
  failed: '\x1b[31m',
  retrying: '\x1b[33m',
  cancelled: '\x1b[90m',
};
const PLAIN = '\x1b[0m';

export const watch: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      ...connectionOptions,
      webhook: { type: 'string', multiple: true, default: [] },
      event: { type: 'string', multiple: true, default: [] },
      status: { type: 'string', multiple: true, default: [] },
      after: { type: 'string', default: '' },
    },
  });
  const statuses = values.status.map((name) => {
    const value = DeliveryStatusSchema.values.find(({ localName }) => localName.toLowerCase() === name);
    if (value === undefined || value.number === 0)
      throw new UsageError(`--status: "${name}" is not pending, retrying, delivered, failed or cancelled`);
    return value.number as DeliveryStatus;
  });
  const connection = connect(values, 'developer');
  const request = { webhookIds: values.webhook, eventTypes: values.event, statuses };
  const view = process.stdout.isTTY && process.env['TERM'] !== 'dumb' ? new Table(connection.url) : new Lines();
  try {
    await untilInterrupted((signal) =>
      follow({
        open: (after, call) => connection.deliveries.watchDeliveries({ ...request, after }, call),
        after: values.after,
        signal,
        onConnected: () => view.say('connected'),
        onLost: (error, delayMs) => view.say(`${explain(error, connection.url)}; trying again in ${delayMs / 1000} s`),
        keyOf: ({ cursor, message }) => (message.case === 'delivery' ? cursor : null),
        onMessage: ({ message }) => {
          if (message.case === 'delivery') view.show(message.value);
        },
      }),
    );
  } finally {
    view.close();
  }
}

class Lines {
  show(delivery: Delivery): void {
    console.log(rowOf(delivery));
  }

  say(message: string): void {
    console.error(message);
  }

  close(): void {}
}

class Table {
  readonly #url: string;
  /** By id, the one that changed last at the end. */
  readonly #deliveries = new Map<string, Delivery>();
  #message = 'connecting';
  #isDrawing = false;

  constructor(url: string) {
    this.#url = url;
    process.stdout.write(ENTER_SCREEN);
    process.stdout.on('resize', () => this.#draw());
    this.#draw();
  }

  show(delivery: Delivery): void {
    this.#deliveries.delete(delivery.id);
    this.#deliveries.set(delivery.id, delivery);
    const room = Math.max(1, process.stdout.rows - FRAME_ROWS);
    for (const id of this.#deliveries.keys()) {
      if (this.#deliveries.size <= room) break;
      this.#deliveries.delete(id);
    }
    this.#draw();
  }

  say(message: string): void {
    this.#message = message;
    this.#draw();
  }

  close(): void {
    process.stdout.write(LEAVE_SCREEN);
    process.stdout.removeAllListeners('resize');
  }

  #draw(): void {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    setTimeout(() => {
      this.#isDrawing = false;
      const width = process.stdout.columns;
      const rows = [...this.#deliveries.values()].toReversed().map((delivery) => {
        const status = statusOf(delivery);
        const text = rowOf(delivery).slice(0, width);
        // Node looks at NO_COLOR.
        return process.stdout.hasColors() ? `${COLOURS[status] ?? ''}${text}${PLAIN}` : text;
      });
      const lines = [`Deliveries on ${this.#url}`, HEADINGS.slice(0, width), ...rows, this.#message.slice(0, width)];
      process.stdout.write(`${HOME}${lines.map((line) => line + CLEAR_LINE).join('\n')}${CLEAR_BELOW}`);
    }, REDRAW_INTERVAL_MS).unref();
  }
}

const HEADINGS = row('time', 'status', 'http', 'tries', 'event', 'delivery', 'next retry, or what went wrong');

function rowOf(delivery: Delivery): string {
  const time = delivery.updatedAt === undefined ? '' : clock(timestampMs(delivery.updatedAt));
  const retry = delivery.nextRetryAt === undefined ? '' : `again at ${clock(timestampMs(delivery.nextRetryAt))}  `;
  return row(
    time,
    statusOf(delivery),
    delivery.httpStatus === undefined ? '–' : String(delivery.httpStatus),
    String(delivery.attemptCount),
    delivery.eventType,
    delivery.id,
    `${retry}${printable(delivery.errorMessage ?? '')}`,
  );
}

function row(time: string, status: string, http: string, tries: string, event: string, id: string, rest: string): string {
  return [time.padEnd(8), status.padEnd(9), http.padStart(4), tries.padStart(5), event.padEnd(17), id.padEnd(35), rest]
    .join('  ')
    .trimEnd();
}

function statusOf(delivery: Delivery): string {
  return DeliveryStatusSchema.value[delivery.status]?.localName.toLowerCase() ?? 'unknown';
}

function clock(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}
