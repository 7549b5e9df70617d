// Times in options.
import { fromJson } from '@bufbuild/protobuf';
import { type Timestamp, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { namesMoment } from '../domain/moment.ts';
import { UsageError } from './usage.ts';

/** The value of an option that is a time, read as the service reads times in JSON. */
export function moment(option: string, text: string): Timestamp {
  try {
    if (namesMoment(text)) return fromJson(TimestampSchema, text);
  } catch {
    // Said below.
  }
  throw new UsageError(`${option}: "${text}" is not a time, as in 2030-01-31T12:00:00Z`);
}
