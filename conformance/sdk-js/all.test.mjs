// The tests share two servers and turn their clocks, so they run one after the other, in one process.
import { after } from 'node:test';
import { save } from './calls.mjs';
import './story.mjs';
import './errors.mjs';
import './keys.mjs';
import './identity.mjs';
import './operations.mjs';
import './keyspecs.mjs';
import './imports.mjs';
import './regions.mjs';
import './recipient.mjs';
import './keystores.mjs';
import './usage.mjs';
import './iam.mjs';

after(save);
