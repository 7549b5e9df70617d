// Watching as clients do: a stream or a WebSocket whose messages are kept as they come.
import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { WebSocket, type ClientOptions } from 'ws';
import {
  DeliveryService,
  DeliveryStatusSchema,
  type WatchDeliveriesRequestSchema,
  type WatchDeliveriesResponse,
} from '../../gen/homechef/webhook/v1/delivery_pb.ts';

export interface Stream {
  readonly messages: WatchDeliveriesResponse[];
  /** What it ended with; undefined when it was cancelled or ended well. */
  readonly ended: Promise<unknown>;
  cancel(): void;
}

/** `http://…` over Connect, `host:port` over gRPC. */
export function watchStream(
  address: string,
  token: string,
  request: MessageInitShape<typeof WatchDeliveriesRequestSchema> = {},
): Stream {
  const client = createClient(DeliveryService, transportTo(address));
  const cancelling = new AbortController();
  const messages: WatchDeliveriesResponse[] = [];
  const read = async (): Promise<unknown> => {
    try {
      const options = { signal: cancelling.signal, headers: { authorization: `Bearer ${token}` } };
      for await (const message of client.watchDeliveries(request, options)) messages.push(message);
      return undefined;
    } catch (error) {
      return cancelling.signal.aborted ? undefined : error;
    }
  };
  return { messages, ended: read(), cancel: () => cancelling.abort() };
}

// One a server, so that a thousand streams do not leave a thousand idle connections of ours.
const transports = new Map<string, Transport>();

function transportTo(address: string): Transport {
  let transport = transports.get(address);
  if (transport === undefined) {
    transport = address.startsWith('http')
      ? createConnectTransport({ baseUrl: address, httpVersion: '1.1' })
      : createGrpcTransport({ baseUrl: `http://${address}` });
    transports.set(address, transport);
  }
  return transport;
}

/** `delivery_…:delivered`, in the order they came. */
export function told(stream: Stream): string[] {
  return stream.messages.flatMap(({ message }) =>
    message.case === 'delivery'
      ? [`${message.value.id}:${DeliveryStatusSchema.value[message.value.status]?.localName.toLowerCase()}`]
      : [],
  );
}

export interface Socket {
  readonly socket: WebSocket;
  readonly messages: any[];
  /** Of the answer that refused the upgrade; undefined once connected. */
  readonly refused: Promise<number | undefined>;
  readonly closed: Promise<{ code: number; reason: string }>;
  send(message: unknown): void;
}

export function openSocket(http: string, query: string, protocols: string[] = [], options: ClientOptions = {}): Socket {
  const socket = new WebSocket(`${http.replace('http', 'ws')}/ws${query}`, protocols, options);
  const messages: any[] = [];
  const closed = Promise.withResolvers<{ code: number; reason: string }>();
  const refused = Promise.withResolvers<number | undefined>();
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString())));
  socket.on('open', () => refused.resolve(undefined));
  socket.on('unexpected-response', (_request, response) => {
    refused.resolve(response.statusCode);
    socket.terminate();
  });
  socket.on('error', () => refused.resolve(0));
  socket.on('close', (code, reason) => closed.resolve({ code, reason: reason.toString() }));
  return {
    socket,
    messages,
    refused: refused.promise,
    closed: closed.promise,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
  };
}

/** The subprotocols by which a browser brings its token. */
export function bearer(token: string): string[] {
  return ['homechef.v1', `bearer.${token}`];
}
