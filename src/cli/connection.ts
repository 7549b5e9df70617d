// How the commands reach a running service, and as whom.
import { parseArgs } from 'node:util';
import { type Client, Code, ConnectError, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { BadRequestSchema, ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { ReplayService } from '../../gen/homechef/webhook/v1/replay_pb.ts';
import { WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { readEnv, toConfig } from '../config.ts';
import { type CallerRole, mintToken } from '../security/tokens.ts';
import { UsageError } from './usage.ts';

/** A minted token is replaced when less than this is left of it: longer than any call, shorter than any lifetime. */
const RENEW_BEFORE_MS = 20_000;

/** The options that every command of a client takes. */
export const connectionOptions = {
  url: { type: 'string' },
  token: { type: 'string' },
  user: { type: 'string' },
} as const;

/** Reads the arguments of a command about one thing, which may be narrowed to a webhook. */
export function readOneOrWebhook(args: string[]) {
  const options = { ...connectionOptions, webhook: { type: 'string' } } as const;
  return parseArgs({ args, options, allowPositionals: true });
}

export const CONNECTION_USAGE = `  --url <url>      The service; HOMECHEF_URL, or http://localhost:8080
  --token <token>  Whose deliveries; HOMECHEF_TOKEN
  --user <id>      In development, instead of a token: one is made for this user with JWT_SECRET`;

export interface Connection {
  readonly url: string;
  readonly webhooks: Client<typeof WebhookService>;
  readonly deliveries: Client<typeof DeliveryService>;
  readonly events: Client<typeof EventService>;
  readonly replays: Client<typeof ReplayService>;
}

export function connect(
  values: { readonly url?: string | undefined; readonly token?: string | undefined; readonly user?: string | undefined },
  role: CallerRole,
): Connection {
  const env = readEnv();
  const url = values.url ?? env['HOMECHEF_URL'] ?? 'http://localhost:8080';
  if (!URL.canParse(url)) throw new UsageError(`--url: "${url}" is not a URL`);
  const given = values.token ?? env['HOMECHEF_TOKEN'];
  const bearer = given === undefined ? minter(values.user, role) : () => Promise.resolve(given);
  const authorize: Interceptor = (next) => async (request) => {
    request.header.set('authorization', `Bearer ${await bearer()}`);
    return next(request);
  };
  const transport = createConnectTransport({ baseUrl: url, httpVersion: '1.1', interceptors: [authorize] });
  return {
    url,
    webhooks: createClient(WebhookService, transport),
    deliveries: createClient(DeliveryService, transport),
    events: createClient(EventService, transport),
    replays: createClient(ReplayService, transport),
  };
}

function minter(user: string | undefined, role: CallerRole): () => Promise<string> {
  if (user === undefined) throw new UsageError('Give --token (or HOMECHEF_TOKEN), or in development --user.', 'token_missing');
  const { tokens } = toConfig(readEnv());
  let token: Promise<string> | undefined;
  let expiresAtMs = 0;
  return () => {
    if (token === undefined || expiresAtMs - Date.now() < RENEW_BEFORE_MS) {
      expiresAtMs = Date.now() + tokens.expirationSeconds * 1000;
      token = mintToken(tokens, { user, role });
    }
    return token;
  };
}

/** What a person can make of a failed call, in one line. */
export function explain(error: unknown, url: string): string {
  const refused = refusedCall(error);
  if (refused !== null) return refused;
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.Unavailable || code === Code.Unknown) return `${url} does not answer: ${printable(rawMessage)}`;
  return printable(rawMessage);
}

/**
 * What the service answered to a call that it refused: the reason that programs branch on, the field at fault, what to do, and the id that its log has.
 * Null when it was not the service that answered.
 */
export function refusedCall(error: unknown): string | null {
  const failure = ConnectError.from(error);
  const info = failure.findDetails(ErrorInfoSchema)[0];
  if (info === undefined) return null;
  const field = failure.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field ?? '';
  const isNamed = field === '' || failure.rawMessage.startsWith(`${field}: `);
  const requestId = info.metadata['request_id'];
  const request = requestId === undefined ? '' : ` (request ${requestId})`;
  return printable(`${info.reason}: ${isNamed ? '' : `${field}: `}${failure.rawMessage}${request}`);
}

/** Text from elsewhere, without what a terminal would obey. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, ' ').trim();
}
