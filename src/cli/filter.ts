// `filter <webhook id>`: whether a payload passes a filter.
import { parseArgs } from 'node:util';
import { connect, CONNECTION_USAGE, connectionOptions, printable } from './connection.ts';
import { jsonBytes } from './json-argument.ts';
import { type Command, onlyArgument, UsageError } from './usage.ts';

const USAGE = `Usage: filter <webhook id> (--event <event id> | --data <json>) [options]

Says whether the payload passes a filter. Changes nothing.

  --filter <path>  An SQL/JSON path such as '$.total_amount > 50'; else the webhook's own
  --event <id>     The payload of this event
  --data <json>    The payload: JSON, or @file, or - for standard input
${CONNECTION_USAGE}
Ends with 1 when it does not pass.`;

export const filter: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    options: {
      ...connectionOptions,
      filter: { type: 'string' },
      event: { type: 'string' },
      data: { type: 'string' },
    },
    allowPositionals: true,
  });
  const webhookId = onlyArgument(positionals, '<webhook id>');
  if ((values.event === undefined) === (values.data === undefined))
    throw new UsageError('Give --event or --data, and not both.');
  const { match, error, position } = await connect(values, 'developer').webhooks.testFilter({
    webhookId,
    ...(values.filter === undefined ? {} : { filter: values.filter }),
    payload:
      values.data === undefined
        ? { case: 'eventId', value: values.event ?? '' }
        : { case: 'dataJson', value: jsonBytes(values.data) },
  });
  console.log(match ? 'match' : 'no match');
  if (error !== '') console.log(printable(error));
  if (position > 0 && values.filter !== undefined) {
    console.log(printable(values.filter));
    console.log(`${' '.repeat(position - 1)}^`);
  }
  if (!match) process.exitCode = 1;
}
