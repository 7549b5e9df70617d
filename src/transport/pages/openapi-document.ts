// The OpenAPI document as its readers see it: gen/openapi.json, written by src/tools/openapi.

type Json = Record<string, unknown>;

export interface OpenApiDocument extends Json {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Json>>;
  readonly webhooks: Record<string, Json>;
  readonly components: { readonly schemas: Record<string, Json> } & Json;
}
