// `doctor <url>`: looks at the way to a receiver step by step, and says what to do.
import {
  type Diagnosis,
  DiagnosisResult,
  DiagnosisResultSchema,
  DiagnosisStepNameSchema,
} from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { connect, CONNECTION_USAGE, printable, readOneOrWebhook } from './connection.ts';
import { type Command, onlyArgument, UsageError } from './usage.ts';

const USAGE = `Usage: doctor <url> [options]

Looks at the way from the service to a receiver: URL, name, addresses, TLS, a signed ping, the clock. Six a minute.

  --webhook <id>   This webhook of yours, in place of a URL: the ping is signed with its secret
${CONNECTION_USAGE}`;

/** As wide as the longest word of each column. */
const RESULT_WIDTH = 'warning'.length;
const STEP_WIDTH = 'connect'.length;
const GAP = '  ';

export const doctor: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values, positionals } = readOneOrWebhook(args);
  const { webhook } = values;
  if (webhook !== undefined && positionals.length > 0) throw new UsageError('Give a URL or --webhook, not both.');
  const receiver = webhook ?? onlyArgument(positionals, '<url>');
  const { webhooks } = connect(values, 'developer');
  print(
    await (webhook === undefined ? webhooks.diagnoseUrl({ url: receiver }) : webhooks.diagnoseWebhook({ webhookId: webhook })),
  );
}

function print({ verdict, steps }: Diagnosis): void {
  const indent = ' '.repeat(RESULT_WIDTH + STEP_WIDTH + 2 * GAP.length);
  for (const { step, result, message, advice, durationMs } of steps) {
    const columns = [
      (DiagnosisResultSchema.value[result]?.localName ?? '').toLowerCase().padEnd(RESULT_WIDTH),
      (DiagnosisStepNameSchema.value[step]?.localName ?? '').toLowerCase().padEnd(STEP_WIDTH),
      `${printable(message)}${durationMs > 0 ? ` (${durationMs} ms)` : ''}`,
    ];
    console.log(columns.join(GAP));
    if (advice !== '') console.log(`${indent}→ ${printable(advice)}`);
  }
  if (verdict === DiagnosisResult.FAILED) process.exitCode = 1;
}
