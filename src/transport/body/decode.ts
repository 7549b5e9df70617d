// What a body says, once its caller is known: unpacked and decoded within bounds, and the caller's fault when it cannot be.
import { promisify } from 'node:util';
import { brotliDecompress, brotliDecompressSync, gunzip, gunzipSync } from 'node:zlib';
import { fromBinary, fromJson } from '@bufbuild/protobuf';
import type { DescMessage, JsonValue, Message } from '@bufbuild/protobuf';
import { ServiceError } from '../../domain/errors.ts';
import { JSON_OPTIONS, READ_OPTIONS } from '../connect-options.ts';
import { parseJson } from './json-body.ts';

/** Longer packed bodies are unpacked by a thread: to hand a shorter one over would cost more than to unpack it. */
const UNPACK_AT_ONCE_BYTES = 16_384;

interface Packing {
  readonly sync: typeof gunzipSync;
  readonly async: (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>;
}

const PACKINGS: Readonly<Record<string, Packing>> = {
  gzip: { sync: gunzipSync, async: promisify(gunzip) },
  br: { sync: brotliDecompressSync, async: promisify(brotliDecompress) },
};

export function messageTooLarge(): ServiceError {
  return new ServiceError('resource_exhausted', 'payload_too_large', 'The message is larger than this service reads.');
}

export function malformed(cause?: unknown): ServiceError {
  return new ServiceError('invalid_argument', 'body_malformed', 'The request is not one well-formed protobuf message.', {
    cause,
  });
}

/** Throws `body_malformed`; for JSON with what the decoder says of it. */
export function decodeMessage(schema: DescMessage, bytes: Uint8Array, isJson: boolean): Message {
  try {
    if (!isJson) return fromBinary(schema, bytes, READ_OPTIONS);
    return fromJson(schema, parseJson(bytes) as JsonValue, JSON_OPTIONS);
  } catch (thrown) {
    if (!isJson) throw malformed(thrown);
    if (thrown instanceof ServiceError) throw thrown;
    const message = thrown instanceof Error ? thrown.message : 'The body is not well-formed JSON.';
    throw new ServiceError('invalid_argument', 'body_malformed', message, { cause: thrown });
  }
}

/** Unpacks what is packed as the header says; null and `identity`: not at all. */
export class Unpacker {
  readonly #packing: Packing | null;
  readonly #maxBytes: number;

  /** Throws `unimplemented` for what this service cannot unpack. */
  constructor(encoding: string | null, maxBytes: number) {
    const isPacked = encoding !== null && encoding !== '' && encoding !== 'identity';
    const packing = isPacked && Object.hasOwn(PACKINGS, encoding) ? PACKINGS[encoding] : undefined;
    if (isPacked && packing === undefined) {
      const known = Object.keys(PACKINGS).join(',');
      throw new ServiceError(
        'unimplemented',
        'unimplemented',
        `unknown compression "${encoding}": supported encodings are ${known}`,
      );
    }
    this.#packing = packing ?? null;
    this.#maxBytes = maxBytes;
  }

  get isPacked(): boolean {
    return this.#packing !== null;
  }

  /** Throws `payload_too_large` as soon as it unfolds to more than the limit, and `body_malformed`. */
  unpackSync(bytes: Uint8Array): Buffer {
    try {
      return this.#known().sync(bytes, { maxOutputLength: this.#maxBytes });
    } catch (thrown) {
      throw refusal(thrown);
    }
  }

  /** The same, without holding others up. */
  async unpack(bytes: Uint8Array): Promise<Buffer> {
    if (bytes.length <= UNPACK_AT_ONCE_BYTES) return this.unpackSync(bytes);
    try {
      return await this.#known().async(bytes, { maxOutputLength: this.#maxBytes });
    } catch (thrown) {
      throw refusal(thrown);
    }
  }

  #known(): Packing {
    if (this.#packing === null) throw malformed();
    return this.#packing;
  }
}

function refusal(thrown: unknown): unknown {
  if (thrown instanceof ServiceError) return thrown;
  if ((thrown as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') return messageTooLarge();
  return new ServiceError('invalid_argument', 'body_malformed', 'The body is not packed as its header says.', {
    cause: thrown,
  });
}
