// grpc.reflection.v1.ServerReflection: tells tools such as grpcurl what is served. Only behind GRPC_REFLECTION.
import { create, toBinary } from '@bufbuild/protobuf';
import type { DescExtension, DescFile, DescService, MessageInitShape } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  type ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from '../../../gen/grpc/reflection/v1/reflection_pb.ts';

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

export function serverReflection(served: readonly DescService[]): ServiceImpl<typeof ServerReflection> {
  const index = new Index(served);
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        const messageResponse = index.answer(request.messageRequest);
        yield create(ServerReflectionResponseSchema, { validHost: request.host, originalRequest: request, messageResponse });
      }
    },
  };
}

class Index {
  readonly #served: readonly string[];
  readonly #files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();
  readonly #extensions: DescExtension[] = [];

  constructor(served: readonly DescService[]) {
    this.#served = served.map((service) => service.typeName).toSorted();
    for (const service of served) this.#add(service.file);
  }

  answer({ case: asked, value }: ServerReflectionRequest['messageRequest']): Answer {
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
