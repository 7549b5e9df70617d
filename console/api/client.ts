// The generated clients, straight from the contract that every other caller uses.
import { Code, ConnectError, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { ReplayService } from '../../gen/homechef/webhook/v1/replay_pb.ts';
import { WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { consoleHeaders, endSession, type Session, session } from './session.ts';

/** Longer than any honest answer; a page that waits longer is better off saying so. */
const CALL_TIMEOUT_MS = 20_000;

const speakForSession: Interceptor = (next) => async (request) => {
  for (const [name, value] of Object.entries(consoleHeaders)) request.header.set(name, value);
  const asked = session.peek();
  try {
    return await next(request);
  } catch (error) {
    noticeExpiry(error, asked);
    throw error;
  }
};

/** A refusal ends the session in which it was asked, unless another has begun since. */
export function noticeExpiry(error: unknown, asked: Session | null): void {
  if (ConnectError.from(error).code === Code.Unauthenticated && session.peek() === asked) endSession();
}

const transport = createConnectTransport({
  baseUrl: location.origin,
  useBinaryFormat: true,
  interceptors: [speakForSession],
  defaultTimeoutMs: CALL_TIMEOUT_MS,
});

export const webhooks = createClient(WebhookService, transport);
export const deliveries = createClient(DeliveryService, transport);
export const replays = createClient(ReplayService, transport);
