// What a body says, once its caller is known: unpacked and decoded within bounds, and the caller's fault when it cannot be.
import { promisify } from 'node:util';
import { brotliDecompress, brotliDecompressSync, gunzip, gunzipSync } from 'node:zlib';
import { create, fromBinary } from '@bufbuild/protobuf';
import type { DescField, DescMessage, Message } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { invalid, ServiceError } from '../../domain/errors.ts';
import { parseJson } from './json-body.ts';
import { messageFromJson } from './json-input.ts';
import { loneItem, markUnreadable, MAX_LONE_ITEMS } from './lone-items.ts';
import type { SizeLimit } from './size-limits.ts';

/** protobuf messages per level of a Struct: the Struct, its map entry, its Value. */
const RECURSION_PER_LEVEL = 3;
/** Beyond the 32 levels a payload may have, so that this service refuses one that is too deep, and not the decoder. */
const READABLE_DEPTH = 100;
const READ_OPTIONS = { recursionLimit: READABLE_DEPTH * RECURSION_PER_LEVEL };

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

/** Bytes that are no message, or frames around it that are none: of JSON over gRPC as well, so the text names no format. */
export function malformed(cause?: unknown): ServiceError {
  return new ServiceError('body_malformed', 'The body is not one well-formed message of this call.', { cause });
}

/**
 * Reads one message. JSON is read as on every other protocol, by rules that name the field at fault. Of protobuf an item that fails alone
 * is left empty and marked; all else that is no message is `body_malformed`.
 */
export function decodeMessage(schema: DescMessage, bytes: Uint8Array, isJson: boolean): Message {
  if (isJson) return messageFromJson(schema, parseJson(bytes), 'protobuf');
  try {
    return fromBinary(schema, bytes, READ_OPTIONS);
  } catch (thrown) {
    const items = schema.fields.find((field) => loneItem(field) !== null);
    if (items?.message === undefined) throw unreadable(schema, thrown);
    return decodeItems(schema, items, items.message, bytes);
  }
}

// A request that consists of such items: each is read by itself, so that those that can be read are.
function decodeItems(schema: DescMessage, items: DescField, itemSchema: DescMessage, bytes: Uint8Array): Message {
  const message = create(schema);
  const fields = message as unknown as Record<string, Message | Message[]>;
  try {
    const reader = new BinaryReader(bytes);
    for (let count = 0; reader.pos < reader.len && count <= MAX_LONE_ITEMS; count += 1) {
      const [number, wireType] = reader.tag();
      if (number !== items.number || wireType !== WireType.LengthDelimited) throw malformed();
      const item = decodeItem(itemSchema, reader.bytes());
      const list = fields[items.localName];
      if (Array.isArray(list)) list.push(item);
      else if (count === 0) fields[items.localName] = item;
      else throw malformed();
    }
  } catch (thrown) {
    throw thrown instanceof ServiceError ? thrown : malformed(thrown);
  }
  return message;
}

function decodeItem(schema: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(schema, bytes, READ_OPTIONS);
  } catch (thrown) {
    const item = create(schema);
    markUnreadable(item, unreadable(schema, thrown));
    return item;
  }
}

const TOO_DEEP = /maximum recursion depth/;

function unreadable(schema: DescMessage, thrown: unknown): ServiceError {
  const isTooDeep = thrown instanceof Error && TOO_DEEP.test(thrown.message);
  const payload = isTooDeep ? structIn(schema) : null;
  if (payload === null) return malformed(thrown);
  return invalid('payload_too_deep', payload, 'is nested deeper than this service reads');
}

/** The path of the only field that can be nested without end; null where there is none. */
function structIn(schema: DescMessage): string | null {
  for (const field of schema.fields) {
    if (field.message?.typeName === 'google.protobuf.Struct') return field.name;
    const inner = field.message === undefined || loneItem(field) === null ? null : structIn(field.message);
    if (inner !== null) return `${field.name}.${inner}`;
  }
  return null;
}

/** Unpacks what is packed as the header says; null and `identity`: not at all. */
export class Unpacker {
  readonly #packing: Packing | null;
  readonly #limit: SizeLimit;

  /** Throws `encoding_unsupported` for what this service cannot unpack. */
  constructor(encoding: string | null, limit: SizeLimit) {
    const isPacked = encoding !== null && encoding !== '' && encoding !== 'identity';
    const packing = isPacked && Object.hasOwn(PACKINGS, encoding) ? PACKINGS[encoding] : undefined;
    if (isPacked && packing === undefined) {
      const known = Object.keys(PACKINGS).join(',');
      throw new ServiceError('encoding_unsupported', `unknown compression "${encoding}": supported encodings are ${known}`);
    }
    this.#packing = packing ?? null;
    this.#limit = limit;
  }

  get isPacked(): boolean {
    return this.#packing !== null;
  }

  /** Throws the limit's refusal as soon as it unfolds to more, and `body_malformed`. */
  unpackSync(bytes: Uint8Array): Buffer {
    try {
      return this.#known().sync(bytes, { maxOutputLength: this.#limit.maxBytes });
    } catch (thrown) {
      throw this.#refusal(thrown);
    }
  }

  /** The same, without holding others up. */
  async unpack(bytes: Uint8Array): Promise<Buffer> {
    if (bytes.length <= UNPACK_AT_ONCE_BYTES) return this.unpackSync(bytes);
    try {
      return await this.#known().async(bytes, { maxOutputLength: this.#limit.maxBytes });
    } catch (thrown) {
      throw this.#refusal(thrown);
    }
  }

  #known(): Packing {
    if (this.#packing === null) throw malformed();
    return this.#packing;
  }

  #refusal(thrown: unknown): unknown {
    if (thrown instanceof ServiceError) return thrown;
    if ((thrown as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') return this.#limit.refusal();
    return new ServiceError('body_malformed', 'The body is not packed as its header says.', {
      cause: thrown,
    });
  }
}
