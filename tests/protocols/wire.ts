// Calls as bytes: nothing here refuses to send what a server must refuse, and nothing is left out of what came back.
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { WebSocket } from 'ws';

export type Headers = Readonly<Record<string, string | readonly string[]>>;

export interface Reply {
  /** Trailers among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body?: Buffer;
}

/** HTTP/1.1. `address` is `http://host:port`. */
export function overHttp1(address: string, { method, path, headers, body }: Request): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    const lines = { ...headers, ...length, connection: 'close' } as Record<string, string | string[]>;
    const sent = httpRequest(address + path, { method, headers: lines }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () => {
        const all = { ...response.headers, ...response.trailers, ':status': String(response.statusCode) };
        resolve({ headers: all as unknown as Record<string, string>, body: Buffer.concat(pieces) });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** HTTP/2 without TLS. `address` is `host:port`. */
export async function overHttp2(address: string, { method, path, headers, body }: Request): Promise<Reply> {
  // Not strict: a header may stand twice.
  const session = connectHttp2(`http://${address}`, { strictSingleValueFields: false } as object);
  session.on('error', () => {});
  const fields = { ':method': method, ':path': path, te: 'trailers', ...headers };
  const lines = Object.entries(fields).flatMap(([name, value]) => [value].flat().flatMap((one) => [name, one]));
  const stream = session.request(lines);
  const told: Record<string, string> = {};
  const pieces: Buffer[] = [];
  stream.on('response', (heard) => Object.assign(told, heard));
  stream.on('trailers', (heard) => Object.assign(told, heard));
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  stream.on('error', () => {});
  stream.end(body);
  await once(stream, 'close');
  session.close();
  return { headers: told, body: Buffer.concat(pieces) };
}

export interface SocketReply {
  /** The text of its first error; of a refused upgrade, the body. */
  readonly text: string;
  /** Null when the connection stayed open. */
  readonly closeCode: number | null;
}

/** Opens a WebSocket, sends `message` where there is one, and gives the first error that comes. */
export function overWebSocket(address: string, path: string, headers: Headers, message: string | null): Promise<SocketReply> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address.replace('http', 'ws') + path, ['homechef.v1'], {
      headers: headers as Record<string, string | string[]>,
    });
    let error: string | null = null;
    const finish = (closeCode: number | null): void => {
      socket.terminate();
      resolve({ text: error ?? '', closeCode });
    };
    socket.on('open', () => message !== null && socket.send(message));
    socket.on('message', (data: Buffer) => {
      if (!data.includes('"type":"error"')) return;
      error = data.toString();
      if (message !== null) finish(null);
    });
    socket.on('close', finish);
    socket.on('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (piece: Buffer) => (text += piece.toString()));
      response.on('end', () => resolve({ text, closeCode: null }));
    });
    socket.on('error', (failure) => error === null && reject(failure));
  });
}

export interface Frame {
  readonly flags: number;
  readonly bytes: Buffer;
}

/** A message in the frame of gRPC, gRPC-Web and Connect's streams. */
export function frame(bytes: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

export function framesIn(body: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 5 <= body.length;) {
    const length = body.readUInt32BE(at + 1);
    frames.push({ flags: body[at] ?? 0, bytes: body.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return frames;
}
