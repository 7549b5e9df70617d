// JSON kept in a text column, as the documentation has it for `webhook_endpoints.events`.
import { Type } from '@mikro-orm/core';

export class JsonText<T> extends Type<T, string> {
  override convertToDatabaseValue(value: T | string): string {
    return JSON.stringify(value);
  }

  override convertToJSValue(value: string | T): T {
    return typeof value === 'string' ? JSON.parse(value) : value;
  }

  override getColumnType(): string {
    return 'text';
  }

  // Arrays are compared by what they hold; by identity every read one would look changed.
  override compareAsType(): string {
    return 'string';
  }
}
