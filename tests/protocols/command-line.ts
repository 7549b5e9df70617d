// The command line as a protocol: a request becomes the arguments of the command that makes it, and what is printed is what the caller learns.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { runCommand } from '../../src/cli/command-line.ts';
import { codeOf, reasons, type Reason } from '../../src/domain/errors.ts';
import type { Ask, Protocol } from './protocols.ts';
import { NO_CALL, type Told } from './told.ts';

interface Way {
  readonly command: readonly string[];
  /** The field that is the command's argument, or what takes its place. */
  readonly argument?: string | { readonly always: string };
  readonly options?: Readonly<Record<string, string>>;
  /** Without these the command asks something else. */
  readonly needs?: readonly string[];
}

const replayOptions = {
  statuses: '--status',
  since: '--since',
  until: '--until',
  event_types: '--event-type',
  error_codes: '--error-code',
  http_statuses: '--http-status',
  rate: '--rate',
  dry_run: '--dry-run',
  include_missing: '--include-missing',
};
const typeOptions = {
  description: '--description',
  schema: '--schema',
  sample: '--sample',
  validation: '--validation',
  default_priority: '--priority',
  deprecated: '--deprecated',
  force: '--force',
};

/** By RPC: how the command line asks it. A field that is not here, no command can say. */
const ways: Readonly<Record<string, Way>> = {
  PublishEvent: {
    command: ['publish'],
    argument: 'event_type',
    needs: ['data_json'],
    options: {
      data_json: '--data',
      'audience.user_ids': '--to',
      'audience.broadcast': '--broadcast',
      idempotency_key: '--key',
      ordering_key: '--ordering-key',
      deliver_before: '--deliver-before',
    },
  },
  // Whose sample is sent when there are no data.
  GetEventType: { command: ['publish', '--to', 'nobody'], argument: 'name' },
  WatchDeliveries: {
    command: ['watch'],
    options: { webhook_ids: '--webhook', event_types: '--event', statuses: '--status', after: '--after' },
  },
  WatchEvents: { command: ['listen'], options: { event_types: '--event', filter: '--filter', after: '--after' } },
  TestWebhook: { command: ['trigger'], argument: { always: 'order.created' }, options: { webhook_id: '--webhook' } },
  DiagnoseUrl: { command: ['doctor'], argument: 'url' },
  DiagnoseWebhook: { command: ['doctor'], options: { webhook_id: '--webhook' }, needs: ['webhook_id'] },
  // Which webhook a delivery is of, `explain` asks first.
  GetDelivery: { command: ['explain'], argument: 'delivery_id' },
  ExplainDelivery: { command: ['explain'], argument: 'event_id', options: { webhook_id: '--webhook' }, needs: ['event_id'] },
  TestFilter: {
    command: ['filter'],
    argument: 'webhook_id',
    needs: ['data'],
    options: { filter: '--filter', data: '--data' },
  },
  GetWebhookHistory: { command: ['history'], argument: 'webhook_id' },
  RetryDelivery: { command: ['retry'], argument: 'delivery_id' },
  CancelDelivery: { command: ['cancel'], argument: 'delivery_id' },
  PauseWebhook: { command: ['pause'], argument: 'webhook_id' },
  ResumeWebhook: { command: ['resume'], argument: 'webhook_id', options: { rate: '--rate' } },
  CreateReplay: { command: ['replay'], options: { webhook_id: '--webhook', ...replayOptions }, needs: ['webhook_id'] },
  CreateReplays: { command: ['replay'], options: { user_id: '--of-user', ...replayOptions }, needs: ['user_id'] },
  ListServiceKeys: { command: ['service-keys'] },
  RotateServiceKey: { command: ['rotate-service-key'], options: { overlap_hours: '--overlap-hours' } },
  ListEventTypes: { command: ['event-types'] },
  CreateEventType: { command: ['event-types', 'create'], argument: 'name', options: typeOptions },
  UpdateEventType: { command: ['event-types', 'update'], argument: 'name', options: typeOptions },
};

/** `http` is `http://host:port`. */
export function commandLine(http: string): Protocol {
  return {
    name: 'command line',
    format: 'arguments',
    features: new Set(['token']),
    serves: (rpc) => Object.hasOwn(ways, rpc),
    fieldName: (field) => field,
    async ask(ask) {
      const args = argumentsOf(ask, http);
      if (args === null) return null;
      const refusal = await runCommand(args);
      return refusal === null
        ? { code: 'ok', reason: '', fields: [], requestId: null }
        : toldByCommand(refusal.message, ask.rpc);
    },
  };
}

/** Null when no argument says it. */
function argumentsOf({ rpc, message: asked, text, headers, isMalformed, token }: Ask, http: string): string[] | null {
  const way = ways[rpc];
  // What is wrong in a header or in the bytes, no argument says; nor two tokens.
  if (way === undefined || headers !== undefined || isMalformed === true || Array.isArray(token)) return null;
  const message = text === undefined ? asked : (JSON.parse(text) as JsonObject);
  const fields = new Map(Object.entries(message).flatMap(([name, value]) => within(name, value)));
  if (way.needs?.some((name) => !fields.has(name)) === true) return null;
  const argument = typeof way.argument === 'string' ? fields.get(way.argument) : way.argument?.always;
  if (way.argument !== undefined && typeof argument !== 'string') return null;
  if (typeof way.argument === 'string') fields.delete(way.argument);
  const options: string[] = [];
  for (const [name, value] of fields) {
    const option = way.options?.[name];
    if (option === undefined) return null;
    for (const one of [value].flat()) {
      if (name === 'data_json' && !isBase64(one)) return null;
      options.push(...said(option, name, one));
    }
  }
  const whose = token === null ? [] : [`--token=${String(token)}`];
  const one = typeof argument === 'string' ? ['--', argument] : [];
  return [...way.command, `--url=${http}`, ...whose, ...options, ...one];
}

function within(name: string, value: JsonValue): [string, JsonValue][] {
  return name === 'audience' && typeof value === 'object' && value !== null
    ? Object.entries(value).map(([inner, one]) => [`${name}.${inner}`, one])
    : [[name, value]];
}

function isBase64(value: JsonValue): boolean {
  return typeof value === 'string' && Buffer.from(value, 'base64').toString('base64') === value;
}

function said(option: string, field: string, value: JsonValue): string[] {
  if (typeof value === 'boolean') return value ? [option] : [];
  if (typeof value !== 'string') return [`${option}=${JSON.stringify(value)}`];
  return [`${option}=${field === 'data_json' ? Buffer.from(value, 'base64').toString() : value}`];
}

/** `reason: field: what is wrong (request id)`. The reason says the code; an option is one of the request's fields. */
function toldByCommand(line: string, rpc: string): Told {
  const [, reason = '', rest = ''] = /^(\w+): (.*)$/.exec(line) ?? [];
  if (!Object.hasOwn(reasons, reason)) return { code: line, reason: 'no reason stands first', fields: [], requestId: null };
  const [, option] = /^(--[a-z-]+): /.exec(rest) ?? [];
  const [, field] = /^([a-z_]+(?:\.\w+|\[[^\]]+\])*): /.exec(rest) ?? [];
  const [, requestId] = /\(request ([\w.-]+)\)$/.exec(rest) ?? [];
  const [named] = Object.entries(ways[rpc]?.options ?? {}).find(([, name]) => name === option) ?? [];
  // An option that may be repeated is refused at the first that is wrong.
  const fields = [named?.endsWith('statuses') ? `${named}[0]` : (named ?? field)].filter((name) => name !== undefined);
  return { code: codeOf(reason as Reason), reason, fields, requestId: requestId ?? NO_CALL };
}
