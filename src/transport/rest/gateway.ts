// REST: a Fastify plugin that serves every annotated RPC as JSON over HTTP, through the calls' own interceptors.
import { create } from '@bufbuild/protobuf';
import type { DescMessage, JsonObject, Message } from '@bufbuild/protobuf';
import type { ContextValues, Interceptor } from '@connectrpc/connect';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { invalid, ServiceError } from '../../domain/errors.ts';
import { Body } from '../body/body.ts';
import type { BodyBudget } from '../body/body-budget.ts';
import { Unpacker } from '../body/decode.ts';
import { parseJsonBody } from '../body/json-body.ts';
import { isUtf8 } from '../body/media-type.ts';
import type { SizeLimit, SizeLimits } from '../body/size-limits.ts';
import { toServiceError } from '../call/errors.ts';
import { callsLeftOf, newCallValues, setReader } from '../call/call-context.ts';
import type { Principal } from '../../security/tokens.ts';
import type { ServiceEntry } from '../call/service-entry.ts';
import { unaryCall } from '../call/unary-call.ts';
import { messageFromJson } from '../body/json-input.ts';
import { messageToJson } from './json-output.ts';
import { namedAsInQuery, readQuery } from './query-input.ts';
import { restRoutes } from './routes.ts';
import type { RestRoute } from './routes.ts';

export interface GatewayOptions {
  readonly entries: readonly ServiceEntry[];
  readonly interceptors: Interceptor[];
  readonly budget: BodyBudget;
  readonly sizes: SizeLimits;
}

export function restGateway(app: FastifyInstance, options: GatewayOptions, done: () => void): void {
  app.removeAllContentTypeParsers();
  // Bodies are left on the connection until it is known who calls.
  app.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null));
  for (const route of restRoutes(options.entries)) {
    app.route({ method: route.verb, url: fastifyPath(route.path), handler: handler(route, options) });
  }
  done();
}

function handler(route: RestRoute, options: GatewayOptions) {
  const call = unaryCall(route.entry, route.method, options.interceptors);
  const nothing = create(route.method.input);
  const limit = options.sizes.of(route.method);
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort(new ServiceError('request_canceled', 'The caller went away.')));
    const values = newCallValues(request.id, 'rest', request.callerAddress, request.place);
    const body = route.hasBody ? bodyOf(request, reply, limit, options) : null;
    setReader(values, async (caller) => readMessage(route, request, body === null ? null : await body(caller)));
    const input = {
      requestMethod: route.verb,
      url: `${request.protocol}://${request.host}${request.url}`,
      header: webHeaders(request),
      contextValues: values,
      signal: gone.signal,
    };
    const answer = await call(nothing, input)
      .catch((thrown: unknown) => {
        throw route.hasBody ? thrown : namedAsInQuery(route.method.input, queryOf(request), toServiceError(thrown));
      })
      .finally(() => void reply.headers(limitHeaders(values)));
    if (route.successStatus === 204) return reply.code(204).send();
    return reply
      .code(statusOf(route, answer))
      .headers(thingHeaders(route, answer))
      .type('application/json; charset=utf-8')
      .send(JSON.stringify(messageToJson(route.method.output, answer, route.method.name)));
  };
}

function statusOf({ successStatus, nothingAcceptedStatus, dryRunStatus }: RestRoute, answer: Message): number {
  const { accepted, dryRun } = answer as unknown as { readonly accepted?: number; readonly dryRun?: boolean };
  if (nothingAcceptedStatus !== null && accepted === 0) return nothingAcceptedStatus;
  if (dryRunStatus !== null && dryRun === true) return dryRunStatus;
  return successStatus;
}

/** The IETF's draft-ietf-httpapi-ratelimit-headers-10: the quota of a window, and what is left of it. */
function limitHeaders(values: ContextValues): Record<string, string> {
  const left = callsLeftOf(values);
  if (left === null) return {};
  return {
    'ratelimit-policy': `"calls";q=${left.limit};w=${left.windowSeconds}`,
    ratelimit: `"calls";r=${left.remaining};t=${left.resetSeconds}`,
  };
}

/** Which state of a thing this is, and where a new one can be found. */
function thingHeaders({ path, successStatus }: RestRoute, answer: Message): Record<string, string> {
  const { id, name, etag } = answer as unknown as Readonly<Record<'id' | 'name' | 'etag', unknown>>;
  const place = id ?? name;
  return {
    ...(typeof etag === 'string' && etag !== '' ? { etag: `"${etag}"` } : {}),
    ...(successStatus === 201 && typeof place === 'string' ? { location: `${path}/${place}` } : {}),
  };
}

type ReadBody = (caller: Principal | null) => Promise<Buffer>;

// Gathers the body from now on; what it is said to be is looked at when it is asked for.
function bodyOf(request: FastifyRequest, reply: FastifyReply, limit: SizeLimit, { budget }: GatewayOptions): ReadBody {
  if (isEmpty(request)) return async () => Buffer.alloc(0);
  const body = new Body(request.raw, { limit, budget, address: request.callerAddress });
  reply.raw.once('close', () => body.end());
  return async (caller) => {
    refuseOtherTypes(request);
    const unpacker = new Unpacker(request.headers['content-encoding'] ?? null, limit);
    const declaredBytes = Number(request.headers['content-length']);
    if (declaredBytes > limit.maxBytes) throw limit.refusal(declaredBytes);
    const bytes = await body.whole(caller);
    return unpacker.isPacked ? unpacker.unpack(bytes) : bytes;
  };
}

function isEmpty({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0';
}

const JSON_TYPE = /^application\/([\w.-]+\+)?json\s*(;|$)/i;

function readMessage(route: RestRoute, request: FastifyRequest, body: Buffer | null): Message {
  const schema = route.method.input;
  const query = queryOf(request);
  const { value, faults } = body === null ? { value: {}, faults: new Map<string, never>() } : parseJsonBody(body);
  const json = objectOf(value);
  if (body !== null) {
    if (query !== '')
      throw invalid('field_unknown', query.split(/[=&]/, 1)[0] ?? '', 'this path takes its input from the body');
  } else {
    readQuery(schema, query, json);
  }
  for (const field of route.pathFields) {
    if (Object.hasOwn(json, field)) throw invalid('field_unknown', field, 'is taken from the path');
    json[field] = (request.params as Record<string, string>)[field] ?? '';
  }
  takeEtag(schema, json, expectedEtag(request));
  return messageFromJson(schema, { value: json, faults });
}

function queryOf({ url }: FastifyRequest): string {
  const start = url.indexOf('?');
  return start < 0 ? '' : url.slice(start + 1);
}

/** `null` counts as no body: clients that are generated for Go send it where their caller gave none. */
function objectOf(json: unknown): JsonObject {
  if (json === null) return {};
  if (typeof json !== 'object' || Array.isArray(json)) {
    throw new ServiceError('body_malformed', 'The body must be a JSON object.');
  }
  return json as JsonObject;
}

// The header says the same as the field of the request.
function takeEtag(schema: DescMessage, json: JsonObject, etag: string | undefined): void {
  if (etag === undefined || !schema.fields.some((field) => field.name === 'etag')) return;
  if (Object.hasOwn(json, 'etag') && json['etag'] !== etag) {
    throw invalid('field_invalid', 'etag', 'differs from the If-Match header');
  }
  json['etag'] = etag;
}

/** The entity tag of `If-Match` (RFC 9110, 13.1.1); undefined where any state will do. A weak one fits none. */
function expectedEtag({ headers }: FastifyRequest): string | undefined {
  const value = headers['if-match'];
  if (value === undefined || value.trim() === '*') return undefined;
  const [, tag] = /^\s*(?:W\/)?"([^"]*)"\s*$/.exec(value) ?? [];
  if (tag === undefined) throw invalid('field_invalid', 'etag', 'If-Match must hold one entity tag in quotes, or *');
  return value.trim().startsWith('W/') ? `W/${tag}` : tag;
}

function refuseOtherTypes({ headers }: FastifyRequest): void {
  const type = headers['content-type'] ?? '';
  if (!JSON_TYPE.test(type)) throw unsupported('Send application/json.');
  if (!isUtf8(type)) throw unsupported('JSON is UTF-8.');
}

function unsupported(message: string): ServiceError {
  return new ServiceError('media_type_unsupported', message);
}

function webHeaders(request: FastifyRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (Array.isArray(value)) for (const item of value) headers.append(name, item);
    else if (value !== undefined) headers.set(name, value);
  }
  return headers;
}

/** `{webhook_id}` as Fastify writes it. Its router prefers static segments, which is what keeps `/webhooks/events` apart. */
function fastifyPath(path: string): string {
  return path.replaceAll(/\{([^}]*)\}/g, ':$1');
}
