// The contract with its comments. Generated code leaves them out, so the document is made from what buf reads in proto/.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import type {
  DescEnum,
  DescEnumValue,
  DescField,
  DescMessage,
  DescMethod,
  DescService,
  FileRegistry,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

type Commented = DescMessage | DescField | DescEnum | DescEnumValue | DescService | DescMethod;

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** Ten times what the contract takes today. */
const MAX_DESCRIPTOR_BYTES = 2 * 1024 * 1024;

/** Runs `buf`, a development tool: the document is written at development time and served as a file. */
export function readContract(): FileRegistry {
  const binary = execFileSync('buf', ['build', '--path', 'proto/homechef', '-o', '-#format=binpb'], {
    cwd: ROOT,
    maxBuffer: MAX_DESCRIPTOR_BYTES,
  });
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, binary));
}

/** The comment above a declaration, in one line a paragraph; empty when there is none. */
export function commentOf(declared: Commented): string {
  const path = pathOf(declared);
  const locations = fileOf(declared).proto.sourceCodeInfo?.location ?? [];
  const comment = locations.find((at) => at.path.length === path.length && at.path.every((step, i) => step === path[i]));
  const text = comment?.leadingComments ?? '';
  return text
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.trim().replaceAll(/\s*\n\s*/g, ' '))
    .join('\n\n')
    .trim();
}

function fileOf(declared: Commented) {
  if (declared.kind === 'field' || declared.kind === 'enum_value' || declared.kind === 'rpc') return declared.parent.file;
  return declared.file;
}

// The steps from a file to a declaration, as SourceCodeInfo counts them: field numbers of descriptor.proto and indexes.
function pathOf(declared: Commented): number[] {
  switch (declared.kind) {
    case 'message': {
      const siblings = declared.parent?.proto.nestedType ?? declared.file.proto.messageType;
      return [...(declared.parent === undefined ? [4] : [...pathOf(declared.parent), 3]), siblings.indexOf(declared.proto)];
    }
    case 'field':
      return [...pathOf(declared.parent), 2, declared.parent.proto.field.indexOf(declared.proto)];
    case 'enum': {
      const siblings = declared.parent?.proto.enumType ?? declared.file.proto.enumType;
      return [...(declared.parent === undefined ? [5] : [...pathOf(declared.parent), 4]), siblings.indexOf(declared.proto)];
    }
    case 'enum_value':
      return [...pathOf(declared.parent), 2, declared.parent.proto.value.indexOf(declared.proto)];
    case 'service':
      return [6, declared.file.proto.service.indexOf(declared.proto)];
    case 'rpc':
      return [...pathOf(declared.parent), 2, declared.parent.proto.method.indexOf(declared.proto)];
  }
}
