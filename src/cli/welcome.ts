// What a developer reads when the service has started: where it is, and commands that work as they stand.
import { redisLocation, type Config } from '../config.ts';

export interface Addresses {
  /** As in `http://0.0.0.0:8080`. */
  readonly http: string;
  /** As in `0.0.0.0:9090`. */
  readonly grpc: string;
}

export interface WelcomeTokens {
  /** For `user123`, in the role of a developer. */
  readonly developer: string;
  /** For an order service. */
  readonly service: string;
}

export const WELCOME_USER = 'user123';
export const WELCOME_SERVICE = 'order-service';
/** Wide enough for the longer of the two names with its role, and a gap. */
const TOKEN_COLUMN = 26;

export function welcome(config: Config, addresses: Addresses, tokens: WelcomeTokens): string {
  const http = reachable(addresses.http);
  const call = (token: string, path: string, body?: object): string => {
    const data = body === undefined ? '' : ` \\\n    -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`;
    return `  curl -sS '${http}${path}' -H 'Authorization: Bearer ${token}'${data}\n`;
  };
  const webhook = { url: 'http://localhost:3000/webhooks', events: ['order.created'], description: 'My first webhook' };
  const event = {
    event_type: 'order.created',
    data: { order_id: 'order_1', total_amount: 32.5 },
    audience: { user_ids: [WELCOME_USER] },
  };
  return `
HomeChef webhooks ${config.version}

  Console    ${http}/
  REST       ${http}/api/v1/webhooks    (described at ${http}/docs)
  gRPC       ${reachable(addresses.grpc)}
  Database   ${config.database === null ? `embedded PostgreSQL in ${config.dataDir}` : serverName(config.database)}
  Schedule   ${config.redis === null ? 'PostgreSQL (set REDIS_HOST for Redis)' : `Redis at ${redisLocation(config.redis)}`}

Tokens, good for ${duration(config.tokens.expirationSeconds)} (npm run token -- --user ${WELCOME_USER} --role developer makes another)

  ${`${WELCOME_USER}, developer`.padEnd(TOKEN_COLUMN)}${tokens.developer}
  ${`${WELCOME_SERVICE}, service`.padEnd(TOKEN_COLUMN)}${tokens.service}

Create a webhook as ${WELCOME_USER}:

${call(tokens.developer, '/api/v1/webhooks', webhook)}
Publish an event as ${WELCOME_SERVICE}:

${call(tokens.service, '/api/v1/events', event)}
See what became of it:

${call(tokens.developer, '/api/v1/webhooks/deliveries?page=1&limit=10')}
npm run demo plays an order's life against a receiver that now and then fails.
`;
}

// A server that listens everywhere is reached through this machine's own name.
function reachable(address: string): string {
  return address.replace(/0\.0\.0\.0|\[::\]/, 'localhost');
}

function serverName(database: NonNullable<Config['database']>): string {
  return `PostgreSQL at ${database.host}:${database.port}, database ${database.name}`;
}

function duration(seconds: number): string {
  if (seconds % 3600 === 0) return seconds === 3600 ? 'an hour' : `${seconds / 3600} hours`;
  return seconds % 60 === 0 ? `${seconds / 60} minutes` : `${seconds} seconds`;
}
