// The generated clients, straight from the contract that every other caller uses.
import { Code, ConnectError, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { ReplayService } from '../../gen/homechef/webhook/v1/replay_pb.ts';
import { WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { session, signOut } from './session.ts';

/** Longer than any honest answer; a page that waits longer is better off saying so. */
const CALL_TIMEOUT_MS = 20_000;

const authorize: Interceptor = (next) => async (request) => {
  const token = session.value?.token;
  if (token !== undefined) request.header.set('Authorization', `Bearer ${token}`);
  try {
    return await next(request);
  } catch (error) {
    noticeExpiry(error, token);
    throw error;
  }
};

/** A refused token ends the session, unless another has been signed in since. */
export function noticeExpiry(error: unknown, token: string | undefined): void {
  if (ConnectError.from(error).code === Code.Unauthenticated && session.value?.token === token) signOut('expired');
}

const transport = createConnectTransport({
  baseUrl: location.origin,
  useBinaryFormat: true,
  interceptors: [authorize],
  defaultTimeoutMs: CALL_TIMEOUT_MS,
});

export const webhooks = createClient(WebhookService, transport);
export const deliveries = createClient(DeliveryService, transport);
export const replays = createClient(ReplayService, transport);
