// grpc.reflection.v1 and v1alpha, ServerReflection: lists for tools such as grpcurl what is served. Only behind GRPC_REFLECTION, which development has on.
import { create, toBinary } from '@bufbuild/protobuf';
import type { DescExtension, DescFile, DescMessage, DescService, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { file_google_rpc_error_details } from '../../../gen/google/rpc/error_details_pb.ts';
import type { ServerReflectionRequest as ServerReflectionRequestAlpha } from '../../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import type { ServerReflectionRequest, ServerReflectionResponseSchema } from '../../../gen/grpc/reflection/v1/reflection_pb.ts';

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;
type Question = (ServerReflectionRequest | ServerReflectionRequestAlpha)['messageRequest'];

/** Both versions have the same fields, so one implementation answers in the words of either. */
type Asked = AsyncIterable<{ readonly host: string; readonly messageRequest: Question }>;

export function serverReflection<Schema extends DescMessage>(index: ReflectionIndex, schema: Schema) {
  return {
    async *serverReflectionInfo(requests: Asked): AsyncGenerator<MessageShape<Schema>> {
      for await (const request of requests) {
        const messageResponse = index.answer(request.messageRequest);
        const answer = { validHost: request.host, originalRequest: request, messageResponse };
        yield create(schema, answer as unknown as MessageInitShape<Schema>);
      }
    },
  };
}

/** What is listed: the services, and the details of errors, which no message names but every refusal carries. */
export class ReflectionIndex {
  readonly #served: readonly string[];
  readonly #files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();
  readonly #extensions: DescExtension[] = [];

  constructor(served: readonly DescService[]) {
    this.#served = served.map((service) => service.typeName).toSorted();
    for (const service of served) this.#add(service.file);
    this.#add(file_google_rpc_error_details);
  }

  answer({ case: asked, value }: Question): Answer {
    switch (asked) {
      case 'listServices':
        return { case: 'listServicesResponse', value: { service: this.#served.map((name) => ({ name })) } };
      case 'fileByFilename':
        return fileAnswer(this.#files.get(value), value);
      case 'fileContainingSymbol':
        return fileAnswer(this.#symbols.get(value), value);
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = value;
        const found = this.#extensionsOf(containingType).find(({ number }) => number === extensionNumber);
        return fileAnswer(found?.file, `${containingType} ${extensionNumber}`);
      }
      case 'allExtensionNumbersOfType': {
        if (!this.#symbols.has(value)) return refusal(Code.NotFound, value);
        const extensionNumber = this.#extensionsOf(value).map(({ number }) => number);
        return { case: 'allExtensionNumbersResponse', value: { baseTypeName: value, extensionNumber } };
      }
      case undefined:
        return refusal(Code.InvalidArgument, 'a request that asks nothing');
    }
  }

  #extensionsOf(typeName: string): DescExtension[] {
    return this.#extensions.filter(({ extendee }) => extendee.typeName === typeName);
  }

  #add(file: DescFile): void {
    if (this.#files.has(file.proto.name)) return;
    this.#files.set(file.proto.name, file);
    for (const type of nestedTypes(file)) {
      this.#symbols.set(type.typeName, file);
      if (type.kind === 'extension') this.#extensions.push(type);
      const members = type.kind === 'service' ? type.methods : type.kind === 'message' ? type.fields : [];
      for (const member of members) this.#symbols.set(`${type.typeName}.${member.name}`, file);
      // The values of an enum stand beside it, not within it.
      const scope = type.typeName.slice(0, type.typeName.lastIndexOf('.') + 1);
      if (type.kind === 'enum') for (const value of type.values) this.#symbols.set(`${scope}${value.name}`, file);
    }
    for (const imported of file.dependencies) this.#add(imported);
  }
}

/** With what it imports behind it, so that one question is enough. */
function fileAnswer(file: DescFile | undefined, asked: string): Answer {
  if (file === undefined) return refusal(Code.NotFound, asked);
  const files = new Set([file]);
  for (const each of files) for (const imported of each.dependencies) files.add(imported);
  const fileDescriptorProto = [...files].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

function refusal(errorCode: Code, asked: string): Answer {
  return { case: 'errorResponse', value: { errorCode, errorMessage: `This server does not know ${asked}.` } };
}
