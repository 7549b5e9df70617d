// Calls with bytes of one's own over every protocol, and what the answer says of them.
import { once } from 'node:events';
import { connect } from 'node:http2';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { fromBinary } from '@bufbuild/protobuf';
import type { DescMethod } from '@bufbuild/protobuf';
import { PublishStreamResponseSchema } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { frame } from '../../src/transport/body/grpc-frames.ts';
import type { Listeners } from './listeners.ts';

export interface RawAnswer {
  readonly ok: boolean;
  readonly reason: string;
  readonly code: string;
  /** Whatever was said, for looking into. */
  readonly text: string;
}

export type Packing = 'gzip' | 'br' | null;
export type Format = 'proto' | 'json';
/** Sends one message. */
export type RawCall = (method: DescMethod, message: Buffer, format: Format, packing: Packing) => Promise<RawAnswer>;

/** By protocol; `REST` takes JSON alone. */
export function rawCalls(listeners: Listeners, token = 'service:orders'): Readonly<Record<string, RawCall>> {
  const authorization = `Bearer ${token}`;
  const post = (path: string, headers: Record<string, string>, body: Buffer): Promise<Response> =>
    fetch(listeners.httpUrl + path, { method: 'POST', headers: { authorization, ...headers }, body: new Uint8Array(body) });
  return {
    REST: async (method, message, _format, packing) => {
      const headers = { 'content-type': 'application/json', ...(packing === null ? {} : { 'content-encoding': packing }) };
      return restAnswer(await post(restPath(method), headers, pack(message, packing)));
    },
    Connect: async (method, message, format, packing) => {
      const headers = { 'content-type': `application/${format}`, ...(packing === null ? {} : { 'content-encoding': packing }) };
      return connectAnswer(await post(rpcPath(method), headers, pack(message, packing)));
    },
    // A stream that the service sends: the request is a frame, and a refusal the last one that comes.
    'Connect stream': async (method, message, format, packing) => {
      const headers = {
        'content-type': `application/connect+${format}`,
        ...(packing === null ? {} : { 'connect-content-encoding': packing }),
      };
      const response = await post(rpcPath(method), headers, framed(message, packing));
      return connectStreamAnswer(Buffer.from(await response.arrayBuffer()));
    },
    'gRPC-Web': async (method, message, format, packing) => {
      const headers = {
        'content-type': `application/grpc-web+${format}`,
        ...(packing === null ? {} : { 'grpc-encoding': packing }),
      };
      const response = await post(rpcPath(method), headers, framed(message, packing));
      const text = Buffer.from(await response.arrayBuffer()).toString('latin1');
      const told = (name: string): string => response.headers.get(name) ?? new RegExp(`${name}: (.*)`).exec(text)?.[1] ?? '';
      return grpcAnswer(told, text);
    },
    gRPC: async (method, message, format, packing) => {
      const { told, bytes } = await overHttp2(listeners, method, authorization, framed(message, packing), format, packing);
      return grpcAnswer(told, bytes.toString('latin1'));
    },
    'gRPC stream': async (method, message, format, packing) => {
      const { told, bytes } = await overHttp2(listeners, method, authorization, framed(message, packing), format, packing);
      const answer = grpcAnswer(told, bytes.toString('latin1'));
      return answer.ok && format === 'proto' ? streamAnswer(bytes) : answer;
    },
  };
}

function restPath(method: DescMethod): string {
  const paths: Record<string, string> = {
    PublishEvent: '/api/v1/events',
    PublishEvents: '/api/v1/events/batch',
    CreateWebhook: '/api/v1/webhooks',
  };
  return paths[method.name] ?? '';
}

function rpcPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function pack(bytes: Buffer, packing: Packing): Buffer {
  return packing === 'gzip' ? gzipSync(bytes) : packing === 'br' ? brotliCompressSync(bytes, QUICKLY) : bytes;
}

const QUICKLY = { params: { 1: 1 } };

function framed(message: Buffer, packing: Packing): Buffer {
  const whole = frame([pack(message, packing)]);
  whole[0] = packing === null ? 0 : 1;
  return whole;
}

async function overHttp2(
  listeners: Listeners,
  method: DescMethod,
  authorization: string,
  body: Buffer,
  format: Format,
  packing: Packing,
): Promise<{ told: (name: string) => string; bytes: Buffer }> {
  const session = connect(listeners.grpcUrl);
  const stream = session.request({
    ':method': 'POST',
    ':path': rpcPath(method),
    'content-type': `application/grpc+${format}`,
    te: 'trailers',
    authorization,
    ...(packing === null ? {} : { 'grpc-encoding': packing }),
  });
  const headers: Record<string, string> = {};
  const pieces: Buffer[] = [];
  for (const event of ['response', 'trailers'] as const) stream.on(event, (more) => Object.assign(headers, more));
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  stream.on('error', () => {});
  stream.end(body);
  await once(stream, 'close');
  session.close();
  return { told: (name) => headers[name] ?? '', bytes: Buffer.concat(pieces) };
}

async function restAnswer(response: Response): Promise<RawAnswer> {
  const text = await response.text();
  const { error } = JSON.parse(text) as { error?: { code: string; reason: string } };
  return error === undefined ? okOrResult(text) : { ok: false, code: error.code, reason: error.reason, text };
}

async function connectAnswer(response: Response): Promise<RawAnswer> {
  const text = Buffer.from(await response.arrayBuffer()).toString('latin1');
  if (response.ok) return okOrResult(text);
  const { code, message, details } = JSON.parse(text) as { code: string; message: string; details: { value: string }[] };
  return { ok: false, code, reason: reasonIn(details[0]?.value ?? ''), text: message };
}

function connectStreamAnswer(bytes: Buffer): RawAnswer {
  const { error } = JSON.parse(bytes.subarray(5).toString()) as {
    error?: { code: string; message: string; details: { value: string }[] };
  };
  if (error === undefined) return { ok: true, code: '', reason: '', text: '' };
  return { ok: false, code: error.code, reason: reasonIn(error.details[0]?.value ?? ''), text: error.message };
}

const GRPC_CODES: Record<string, string> = { '3': 'invalid_argument', '8': 'resource_exhausted' };

function grpcAnswer(told: (name: string) => string, text: string): RawAnswer {
  const status = told('grpc-status');
  if (status === '0') return okOrResult(text);
  const message = decodeURIComponent(told('grpc-message'));
  return { ok: false, code: GRPC_CODES[status] ?? status, reason: reasonIn(told('grpc-status-details-bin')), text: message };
}

function streamAnswer(bytes: Buffer): RawAnswer {
  const { result } = fromBinary(PublishStreamResponseSchema, bytes.subarray(5)).result ?? {};
  if (result?.case !== 'error') return { ok: true, code: '', reason: '', text: '' };
  const { code, reason, message } = result.value;
  return { ok: false, code, reason, text: message };
}

// A batch is answered, whatever became of its events: the first of them stands for all, in JSON and in protobuf's bytes alike.
function okOrResult(text: string): RawAnswer {
  const reason = /\w+_too_large/.exec(text)?.[0] ?? '';
  const code = /resource_exhausted|invalid_argument/.exec(text)?.[0] ?? '';
  return { ok: reason === '' && code === '', code, reason, text };
}

function reasonIn(base64: string): string {
  return /(payload|message|batch)_too_large|field_invalid/.exec(Buffer.from(base64, 'base64').toString('latin1'))?.[0] ?? '';
}
