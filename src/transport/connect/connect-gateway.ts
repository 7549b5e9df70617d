// Connect and gRPC-Web over HTTP/1.1: a Fastify plugin that serves every RPC at its own path.
import type { IncomingMessage } from 'node:http';
import type { ConnectRouterOptions, Interceptor } from '@connectrpc/connect';
import { universalResponseToNodeResponse } from '@connectrpc/connect-node';
import type { UniversalHandler, UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { BodyBudget } from '../body/body-budget.ts';
import type { SizeLimits } from '../body/size-limits.ts';
import { leftoversOf } from '../body/leftovers.ts';
import { authorizeBySession } from '../listener/session-cookie.ts';
import { newCallValues } from '../call/call-context.ts';
import type { Protocol } from '../call/call-context.ts';
import { connectCall, connectHandlers } from './connect-calls.ts';
import type { ServiceEntry } from '../call/service-entry.ts';

export interface ConnectGatewayOptions {
  readonly connect: ConnectRouterOptions;
  readonly entries: readonly ServiceEntry[];
  readonly budget: BodyBudget;
  readonly sizes: SizeLimits;
  readonly interceptors: readonly Interceptor[];
  readonly maxCallMs: number;
  readonly leftoversMs: number;
}

export function connectGateway(app: FastifyInstance, options: ConnectGatewayOptions, done: () => void): void {
  app.addHook('onRequest', async (request) => authorizeBySession(request));
  app.removeAllContentTypeParsers();
  // Bodies are left on the connection until it is known who calls.
  app.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null));
  for (const handler of connectHandlers({ ...options.connect, grpc: false }, options.entries)) {
    app.route({
      method: handler.allowedMethods,
      url: handler.requestPath,
      exposeHeadRoute: false,
      handler: (request, reply) => answer(handler, request, reply, options),
    });
  }
  done();
}

async function answer(
  handler: UniversalHandler,
  request: FastifyRequest,
  reply: FastifyReply,
  { budget, sizes, leftoversMs, interceptors, maxCallMs }: ConnectGatewayOptions,
): Promise<FastifyReply> {
  const values = newCallValues(request.id, protocolOf(request), request.callerAddress, request.place);
  const limits = { limit: sizes.of(handler.method), budget, address: request.callerAddress, interceptors, maxCallMs };
  const response = await connectCall(handler, request.raw, reply.raw, values, limits);
  // Connect writes past Fastify, which keeps its headers to itself until it answers.
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value);
  }
  reply.hijack();
  // What breaks on the way to the caller has ended the call, which has recorded it.
  universalResponseToNodeResponse(endedLate(response, request.raw, leftoversMs), reply.raw).catch(() => reply.raw.destroy());
  return reply;
}

// Node closes the connection behind the answer when the caller asked for that, and reads on for long otherwise.
function endedLate(response: UniversalServerResponse, request: IncomingMessage, leftoversMs: number): UniversalServerResponse {
  if (request.complete || response.body === undefined) return response;
  return { ...response, body: withLeftovers(response.body, request, leftoversMs) };
}

async function* withLeftovers(
  body: AsyncIterable<Uint8Array>,
  request: IncomingMessage,
  leftoversMs: number,
): AsyncIterable<Uint8Array> {
  yield* body;
  if (request.complete) return;
  await leftoversOf(request, leftoversMs);
  if (!request.complete) setImmediate(() => request.socket.destroySoon());
}

function protocolOf(request: FastifyRequest): Protocol {
  return request.headers['content-type']?.startsWith('application/grpc-web') === true ? 'grpc-web' : 'connect';
}
