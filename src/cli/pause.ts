// `pause <webhook id>` and `resume <webhook id>`: keep what a webhook would get, and send it later.
import { parseArgs } from 'node:util';
import type { Webhook } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { connect, CONNECTION_USAGE, connectionOptions } from './connection.ts';
import { type Command, onlyArgument, wholeNumber } from './usage.ts';

const PAUSE_USAGE = `Usage: pause <webhook id> [options]

Keeps what the webhook would get: nothing is sent to it and nothing is lost, until you resume it.

${CONNECTION_USAGE}`;

const RESUME_USAGE = `Usage: resume <webhook id> [options]

Sends what was held, oldest first, from a slow start. While it is being sent, the same command changes its rate.

  --rate <number>  Deliveries a second, 1 to 1000; the webhook's own rate limit, or 50
${CONNECTION_USAGE}`;

export const pause: Command = { usage: PAUSE_USAGE, run: runPause };
export const resume: Command = { usage: RESUME_USAGE, run: runResume };

async function runPause(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args, options: connectionOptions, allowPositionals: true });
  const webhookId = onlyArgument(positionals, '<webhook id>');
  const webhook = await connect(values, 'developer').webhooks.pauseWebhook({ webhookId });
  console.log(`${webhook.id}  paused, ${held(webhook)}`);
}

async function runResume(args: string[]): Promise<void> {
  const options = { ...connectionOptions, rate: { type: 'string' } } as const;
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const webhookId = onlyArgument(positionals, '<webhook id>');
  const rate = values.rate === undefined ? {} : { rate: wholeNumber('--rate', values.rate) };
  const webhook = await connect(values, 'developer').webhooks.resumeWebhook({ webhookId, ...rate });
  const release = webhook.releaseId === '' ? 'nothing is held' : `${held(webhook)}, sent by ${webhook.releaseId}`;
  console.log(`${webhook.id}  resumed, ${release}`);
}

function held({ health }: Webhook): string {
  return `${health?.held ?? 0} held`;
}
