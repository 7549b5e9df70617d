// How large a message may be: what carries one event, a batch of events, and every other call.
import type { DescMethod } from '@bufbuild/protobuf';
import {
  PublishEventRequestSchema,
  PublishEventsRequestSchema,
  PublishStreamRequestSchema,
} from '../../../gen/homechef/webhook/v1/event_pb.ts';
import { ServiceError } from '../../domain/errors.ts';

/** Calls that carry no event: twice the longest webhook, had it every character escaped. Developers make these calls, so it is no setting. */
export const MAX_COMMAND_BYTES = 262_144;

/** Most bytes of one message, unpacked, and how a longer one is refused. */
export interface SizeLimit {
  readonly maxBytes: number;
  /** To be thrown; `bytes` where the size is known. No retry helps, so it is not `resource_exhausted`. */
  refusal(bytes?: number): ServiceError;
}

export interface MessageSizes {
  /** What may carry one event, in whatever encoding. */
  readonly maxMessageBytes: number;
  /** What may carry a batch of events. */
  readonly maxBatchBytes: number;
}

/** Which limit a call's messages have. Each message of a stream has it by itself. */
export class SizeLimits {
  readonly #event: SizeLimit;
  readonly #batch: SizeLimit;

  constructor({ maxMessageBytes, maxBatchBytes }: MessageSizes) {
    const event = `the ${maxMessageBytes} bytes that WEBHOOK_MAX_MESSAGE_SIZE allows for one event`;
    this.#event = sizeLimit(maxMessageBytes, (size) => tooLarge('message_too_large', `The message ${size} ${event}.`));
    const batch = `the ${maxBatchBytes} bytes that WEBHOOK_MAX_BATCH_SIZE allows; send its events in several batches`;
    this.#batch = sizeLimit(maxBatchBytes, (size) => tooLarge('batch_too_large', `The batch ${size} ${batch}.`));
  }

  of(method: DescMethod): SizeLimit {
    switch (method.input.typeName) {
      case PublishEventRequestSchema.typeName:
      case PublishStreamRequestSchema.typeName:
        return this.#event;
      case PublishEventsRequestSchema.typeName:
        return this.#batch;
      default:
        return COMMAND;
    }
  }
}

/** Whether it is the refusal of a message for its size. */
export function isTooLarge(thrown: unknown): thrown is ServiceError {
  return thrown instanceof ServiceError && (thrown.reason === 'message_too_large' || thrown.reason === 'batch_too_large');
}

const COMMAND = sizeLimit(MAX_COMMAND_BYTES, (size) =>
  tooLarge('message_too_large', `The message ${size} the ${MAX_COMMAND_BYTES} bytes that a call without events may have.`),
);

function sizeLimit(maxBytes: number, refuse: (size: string) => ServiceError): SizeLimit {
  return { maxBytes, refusal: (bytes) => refuse(bytes === undefined ? 'is larger than' : `is ${bytes} bytes, more than`) };
}

function tooLarge(reason: 'message_too_large' | 'batch_too_large', message: string): ServiceError {
  return new ServiceError(reason, message);
}
