// What a call carries beside its message: who calls, through which protocol, and the id that ties its log lines together.
import { randomUUID } from 'node:crypto';
import { createContextKey } from '@connectrpc/connect';
import type { Message } from '@bufbuild/protobuf';
import type { ContextKey, ContextValues } from '@connectrpc/connect';
import { ServiceError } from '../../domain/errors.ts';
import type { CallsLeft } from '../../security/rate-limit.ts';
import type { Principal } from '../../security/tokens.ts';
import type { Place } from '../listener/connection-places.ts';

export type Protocol = 'grpc' | 'grpc-web' | 'connect' | 'rest';

const requestIdKey = createContextKey('', { description: 'request id' });
const protocolKey = createContextKey<Protocol>('connect', { description: 'protocol' });
const addressKey = createContextKey('', { description: 'address' });
const problemKey = createContextKey<ServiceError | null>(null, { description: 'why the message could not be read' });
const placeKey = createContextKey<Place | undefined>(undefined, { description: 'the place of the connection' });
const readerKey = createContextKey<MessageReader | null>(null, { description: 'reads the message' });
const callsLeftKey = createContextKey<(() => CallsLeft) | null>(null, { description: 'what the caller may still call' });
const principalKey = createContextKey<Principal | null>(null, { description: 'principal' });

/** `address` is the caller's, from the connection or a trusted proxy; `place` that of its connection. */
export function newCallValues(requestId: string, protocol: Protocol, address: string, place?: Place): ContextValues {
  return new CallValues().set(requestIdKey, requestId).set(protocolKey, protocol).set(addressKey, address).set(placeKey, place);
}

/** As Connect's own, without three functions made for every call. */
class CallValues implements ContextValues {
  [id: symbol]: unknown;

  get<T>(key: ContextKey<T>): T {
    return key.id in this ? (this[key.id] as T) : key.defaultValue;
  }

  set<T>(key: ContextKey<T>, value: T): this {
    this[key.id] = value;
    return this;
  }

  delete(key: ContextKey<unknown>): this {
    Reflect.deleteProperty(this, key.id);
    return this;
  }
}

export function addressOf(values: ContextValues): string {
  return values.get(addressKey);
}

export function requestIdOf(values: ContextValues): string {
  return values.get(requestIdKey);
}

export function protocolOf(values: ContextValues): Protocol {
  return values.get(protocolKey);
}

export function setPrincipal(values: ContextValues, principal: Principal): void {
  values.set(principalKey, principal);
  values.get(placeKey)?.recognize();
}

/** For protocols that send it to their callers. Read only when it is asked for: most do not. */
export function setCallsLeft(values: ContextValues, find: () => CallsLeft): void {
  values.set(callsLeftKey, find);
}

/** Null: the caller's calls are not counted. */
export function callsLeftOf(values: ContextValues): CallsLeft | null {
  return values.get(callsLeftKey)?.() ?? null;
}

/** A protocol that could not read the headers says so here: the call is still logged, and a caller without a token learns that first. */
export function setProblem(values: ContextValues, problem: ServiceError): void {
  values.set(problemKey, problem);
}

export function findProblem(values: ContextValues): ServiceError | null {
  return values.get(problemKey);
}

/**
 * Reads what the caller sent, for a caller who is known; null on public calls. A unary call and one that only answers as a stream have
 * one message, the others many.
 */
export type MessageReader = (caller: Principal | null) => Message | Promise<Message> | AsyncIterable<Message>;

/** The protocol sends an empty message down the call chain; the reader takes its place behind authentication. */
export function setReader(values: ContextValues, read: MessageReader): void {
  values.set(readerKey, read);
}

export function findReader(values: ContextValues): MessageReader | null {
  return values.get(readerKey);
}

/** Null before the caller is known: on public calls, and when authentication itself fails. */
export function findPrincipal(values: ContextValues): Principal | null {
  return values.get(principalKey);
}

/** The caller. Only public calls have none, and they do not ask. */
export function principalOf(call: { readonly values: ContextValues }): Principal {
  const principal = findPrincipal(call.values);
  if (principal === null) throw new ServiceError('token_missing', 'This call needs a bearer token.');
  return principal;
}

/** A caller's own id is kept when it cannot break a log line or a header; anything else gets a new one. */
export function requestIdFrom(header: string | string[] | null | undefined): string {
  return typeof header === 'string' && /^[A-Za-z0-9_.-]{8,128}$/.test(header) ? header : randomUUID();
}
