// The tests share two servers and turn their clocks, so they run one after the other, in one process.
import './story.mjs';
import './errors.mjs';
import './keys.mjs';
import './identity.mjs';
