// The demo's receiver: what a developer would write, with both ways to verify, and with bad moments on purpose.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';

export interface Arrival {
  readonly eventType: string;
  readonly deliveryId: string;
  readonly attempt: number;
  /** How the receiver answered. */
  readonly status: number;
  /** `X-HomeChef-Signature`, checked as the README shows. */
  readonly homechefSignature: boolean;
  /** `webhook-signature`, checked by the published library. */
  readonly standardSignature: boolean;
}

export interface DemoReceiver {
  readonly url: string;
  readonly arrivals: readonly Arrival[];
  /** The secret is known only once the webhook is made, and the webhook only once the receiver has a URL. */
  expectSecret(secret: string): void;
  close(): Promise<void>;
}

/** `badMoments` says how often an event type is answered 503 before it is taken. */
export async function startDemoReceiver(
  signatureHeader: string,
  badMoments: Readonly<Record<string, number>>,
  onArrival: (arrival: Arrival) => void,
): Promise<DemoReceiver> {
  const arrivals: Arrival[] = [];
  let secret = '';
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request);
    const eventType = header(request, 'x-homechef-event');
    const deliveryId = header(request, 'x-homechef-delivery');
    const attempt = arrivals.filter((arrival) => arrival.deliveryId === deliveryId).length + 1;
    const status = attempt <= (badMoments[eventType] ?? 0) ? 503 : 200;
    const homechefSignature = verifyHomechef(secret, body, header(request, signatureHeader.toLowerCase()));
    const standardSignature = verifyStandard(secret, body, request);
    const arrival: Arrival = { eventType, deliveryId, attempt, status, homechefSignature, standardSignature };
    arrivals.push(arrival);
    onArrival(arrival);
    response.writeHead(status).end(status === 200 ? 'thank you' : 'a bad moment');
  };
  const server = createServer((request, response) => void receive(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhooks`,
    arrivals,
    expectSecret: (value) => void (secret = value),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function verifyHomechef(secret: string, body: string, signature: string): boolean {
  const expected = Buffer.from(`sha256=${createHmac('sha256', secret).update(body).digest('hex')}`);
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function verifyStandard(secret: string, body: string, request: IncomingMessage): boolean {
  const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature'];
  try {
    new Webhook(secret).verify(body, Object.fromEntries(names.map((name) => [name, header(request, name)])));
    return true;
  } catch {
    return false;
  }
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
}
