// The languages the verification page speaks.
import { go } from './samples/go.ts';
import { java } from './samples/java.ts';
import { node } from './samples/node.ts';
import { php } from './samples/php.ts';
import { python } from './samples/python.ts';
import { ruby } from './samples/ruby.ts';
import type { Sample } from './samples/sample.ts';

export const samples: readonly Sample[] = [node, python, go, php, ruby, java];
