// The cheapest gRPC client that is still one: HTTP/2 frames written by hand on one socket, so that a load costs the machine little.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { ServiceError } from '../src/domain/errors.ts';
import { Ledger } from '../src/transport/body/body-budget.ts';
import { GrowingBuffer } from '../src/transport/body/growing-buffer.ts';
import type { SizeLimit } from '../src/transport/body/size-limits.ts';
import { frame as frameMessage, FrameBuffer } from '../src/transport/body/grpc-frames.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const FRAME_HEADER_BYTES = 9;
/** What every server takes, unless it says that it takes more. */
const MAX_FRAME_BYTES = 16_384;
const ANSWERS: SizeLimit = {
  maxBytes: 1_048_576,
  refusal: () => new ServiceError('internal', 'An answer is longer than any should be.'),
};
const WINDOW_BYTES = 2 ** 30;
const FIRST_WINDOW_BYTES = 65_535;

const Frame = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const Flag = { endStream: 1, ack: 1, endHeaders: 4 } as const;
const Setting = { headerTableSize: 1, initialWindowSize: 4 } as const;

/** Answers count for no call. */
const unlimited = new Ledger(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);

/** Gets the messages of one call, and its end; an answer without a message is a call that failed. */
export interface Call {
  onMessage(message: Buffer): void;
  onEnd(): void;
}

interface Stream {
  readonly call: Call;
  readonly answers: FrameBuffer;
  window: number;
}

/** One connection to one method. Whatever is not as expected of a healthy server ends the process with an error. */
export class GrpcClient {
  readonly #socket: Socket;
  readonly #headers: readonly (readonly [string, string])[];
  readonly #streams = new Map<number, Stream>();
  /** Frames that wait for the server's window. */
  #blocked: { readonly id: number; readonly frame: Buffer }[] = [];
  #pending: Buffer = Buffer.alloc(0);
  #nextId = 1;
  #window = FIRST_WINDOW_BYTES;
  #firstStreamWindow = FIRST_WINDOW_BYTES;

  static async connect(address: string, path: string, token: string): Promise<GrpcClient> {
    const [host = '', port = ''] = address.split(':');
    const socket = connect({ host, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    return new GrpcClient(socket, [
      [':authority', address],
      [':path', path],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
      ['authorization', `Bearer ${token}`],
    ]);
  }

  private constructor(socket: Socket, headers: readonly (readonly [string, string])[]) {
    this.#socket = socket;
    this.#headers = headers;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    // Without a table of its own the server repeats its headers in full, which are not looked at.
    const settings = Buffer.alloc(12);
    settings.writeUInt16BE(Setting.headerTableSize, 0);
    settings.writeUInt16BE(Setting.initialWindowSize, 6);
    settings.writeUInt32BE(WINDOW_BYTES, 8);
    const growth = Buffer.alloc(4);
    growth.writeUInt32BE(WINDOW_BYTES);
    socket.write(
      Buffer.concat([Buffer.from(PREFACE), frame(Frame.settings, 0, 0, settings), frame(Frame.windowUpdate, 0, 0, growth)]),
    );
  }

  /** Begins a call; answers the number that `send` takes. */
  open(call: Call): number {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#streams.set(id, {
      call,
      answers: new FrameBuffer(ANSWERS, new GrowingBuffer(unlimited, '')),
      window: this.#firstStreamWindow,
    });
    this.#write(
      frame(Frame.headers, Flag.endHeaders, id, id === 1 ? firstHeaders(this.#headers) : laterHeaders(this.#headers)),
    );
    return id;
  }

  /** Sends one message of a call; `isLast` ends this side of it. */
  send(id: number, message: Uint8Array, isLast: boolean): void {
    const body = frameMessage([message]);
    for (let at = 0; at < body.length; at += MAX_FRAME_BYTES) {
      const piece = body.subarray(at, at + MAX_FRAME_BYTES);
      const isEnd = isLast && at + MAX_FRAME_BYTES >= body.length;
      this.#blocked.push({ id, frame: frame(Frame.data, isEnd ? Flag.endStream : 0, id, piece) });
    }
    this.#flush();
  }

  close(): void {
    this.#socket.destroy();
  }

  // In order: one stream that has to wait keeps the others waiting, which is well enough for calls that are all alike.
  #flush(): void {
    let sent = 0;
    for (const { id, frame: next } of this.#blocked) {
      const bytes = next.length - FRAME_HEADER_BYTES;
      const stream = this.#streams.get(id);
      if (stream !== undefined && (this.#window < bytes || stream.window < bytes)) break;
      if (stream !== undefined) stream.window -= bytes;
      this.#window -= bytes;
      this.#write(next);
      sent += 1;
    }
    if (sent > 0) this.#blocked = this.#blocked.slice(sent);
  }

  // What is written in one turn of the event loop leaves as one piece.
  #write(bytes: Buffer): void {
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork();
      setImmediate(() => this.#socket.uncork());
    }
    this.#socket.write(bytes);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    let at = 0;
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const end = at + FRAME_HEADER_BYTES + bytes.readUIntBE(at, 3);
      if (bytes.length < end) break;
      const id = bytes.readUInt32BE(at + 5) & 0x7fffffff;
      this.#obey(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, id, bytes.subarray(at + FRAME_HEADER_BYTES, end));
      at = end;
    }
    this.#pending = bytes.subarray(at);
  }

  #obey(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === Frame.data) this.#take(id, payload);
    if (type === Frame.settings && (flags & Flag.ack) === 0) this.#adopt(payload);
    if (type === Frame.ping && (flags & Flag.ack) === 0) this.#write(frame(Frame.ping, Flag.ack, 0, payload));
    if (type === Frame.windowUpdate) this.#grow(id, payload.readUInt32BE(0));
    if (type === Frame.reset || type === Frame.goAway) throw new Error(`the server broke off: frame ${type}`);
    if ((type === Frame.data || type === Frame.headers) && (flags & Flag.endStream) !== 0) {
      const stream = this.#streams.get(id);
      this.#streams.delete(id);
      stream?.call.onEnd();
    }
  }

  #adopt(settings: Buffer): void {
    for (let at = 0; at < settings.length; at += 6) {
      if (settings.readUInt16BE(at) !== Setting.initialWindowSize) continue;
      const size = settings.readUInt32BE(at + 2);
      for (const stream of this.#streams.values()) stream.window += size - this.#firstStreamWindow;
      this.#firstStreamWindow = size;
    }
    this.#write(frame(Frame.settings, Flag.ack, 0, Buffer.alloc(0)));
    this.#flush();
  }

  #grow(id: number, bytes: number): void {
    const stream = this.#streams.get(id);
    if (id === 0) this.#window += bytes;
    else if (stream !== undefined) stream.window += bytes;
    this.#flush();
  }

  #take(id: number, payload: Buffer): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.answers.add(payload);
    for (let message = stream.answers.take(); message !== null; message = stream.answers.take()) stream.call.onMessage(message);
  }
}

function writeFrameHeader(target: Buffer, length: number, type: number, flags: number, id: number): void {
  target.writeUIntBE(length, 0, 3);
  target[3] = type;
  target[4] = flags;
  target.writeUInt32BE(id, 5);
}

function frame(type: number, flags: number, id: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(bytes, payload.length, type, flags, id);
  payload.copy(bytes, FRAME_HEADER_BYTES);
  return bytes;
}

// HPACK (RFC 7541): 3 and 6 of the static table are `:method: POST` and `:scheme: http`; ours go into the dynamic table, which begins at
// 62 with the newest, so that later calls name them in a byte each, as clients do.
const POST_HTTP = [0x80 | 3, 0x80 | 6];
const FIRST_DYNAMIC = 62;

function firstHeaders(headers: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat([
    Buffer.from(POST_HTTP),
    ...headers.flatMap(([name, value]) => [Buffer.of(0x40), text(name), text(value)]),
  ]);
}

function laterHeaders(headers: readonly unknown[]): Buffer {
  return Buffer.from([...POST_HTTP, ...headers.map((_, index) => 0x80 | (FIRST_DYNAMIC + headers.length - 1 - index))]);
}

/** A string as HPACK has it, without Huffman coding: its length with a prefix of seven bits, then its bytes. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 0x7f) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [0x7f];
  for (let rest = bytes.length - 0x7f; ; rest >>= 7) {
    length.push(rest < 0x80 ? rest : 0x80 | (rest & 0x7f));
    if (rest < 0x80) return Buffer.concat([Buffer.from(length), bytes]);
  }
}
