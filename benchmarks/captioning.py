"""Pictures captioned a second: `loraforge caption` in batches against the guide's loop, one at a time.

BLIP-2 of full size (blip2-opt-2.7b: ViT-g, Q-Former, OPT-2.7b; 3.7 billion parameters) with random weights and a
tokenizer made here, so nothing is downloaded. Speed does not depend on what the weights know; the end-of-text token is
switched off, so that both sides generate exactly the same number of tokens for each picture. Both sides are timed from
the picture files to the caption files.

    python benchmarks/captioning.py               on a GPU with 24 GB or more; needs torch and transformers 4.54.1
    python benchmarks/captioning.py --tiny        a check of this script on any machine; its figures mean nothing
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    BlipImageProcessorFast,
    OPTConfig,
    PreTrainedTokenizerFast,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from loraforge.captioning.batch import Settings, caption_pictures, plan_folder
from loraforge.captioning.vision_language import Blip2Captioner
from loraforge.dataset.caption_history import CaptionHistory

NEW_TOKENS = 30  # the guide's
OPT_2_7B = {
    "vocab_size": 50304, "hidden_size": 2560, "ffn_dim": 10240, "num_hidden_layers": 32, "num_attention_heads": 32,
    "word_embed_proj_dim": 2560, "max_position_embeddings": 2048,
}  # fmt: skip
TINY = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def build_model(device, dtype, *, tiny):
    """BLIP-2 straight on the device: four billion random numbers take minutes on a CPU."""
    if tiny:
        text = {"vocab_size": 300, "hidden_size": 32, "ffn_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = Blip2Config(
            vision_config={**TINY, "image_size": 224, "patch_size": 56},
            qformer_config={**TINY, "encoder_hidden_size": 32},
            text_config=OPTConfig(**text, word_embed_proj_dim=32).to_dict(),
            image_token_index=299,
        )
    else:
        config = Blip2Config(text_config=OPTConfig(**OPT_2_7B).to_dict(), image_token_index=50265)
    torch.manual_seed(0)
    with torch.device(device):
        model = Blip2ForConditionalGeneration(config)
    model.language_model.generation_config.eos_token_id = None
    model.generation_config.eos_token_id = None
    return model.to(device, dtype).eval()


def build_processor(images, vocabulary):
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3} | {f"word{index}": index for index in range(4, vocabulary)}
    library = Tokenizer(models.WordLevel(words, unk_token="<unk>"))  # noqa: S106  # a token of the vocabulary
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=library, pad_token="<pad>", bos_token="<s>", unk_token="<unk>")  # noqa: S106
    return Blip2Processor(images, tokenizer, num_query_tokens=32)


def write_pictures(folder, count, side):
    """Soft random colours with some grain: JPEG files of a realistic size."""
    generator = random.Random(0)  # noqa: S311  # test pictures
    for number in range(count):
        soft = Image.frombytes("RGB", (16, 16), generator.randbytes(768)).resize((side, side), Image.Resampling.BICUBIC)
        grain = Image.frombytes("RGB", (256, 256), generator.randbytes(196608)).resize((side, side))
        Image.blend(soft, grain, 0.15).save(folder / f"{number:04}.jpg", quality=90)


def guides_loop(folder, count, model, processor, dtype):
    """The style-LoRA guide's captioning loop as published, apart from names and `print`."""
    for img_file in sorted(os.listdir(folder))[:count]:  # noqa: PTH208
        if not img_file.lower().endswith((".png", ".jpg", ".jpeg")):
            continue
        image = Image.open(os.path.join(folder, img_file)).convert("RGB")  # noqa: PTH118
        inputs = processor(images=image, return_tensors="pt").to(model.device, dtype)
        generated_ids = model.generate(**inputs, max_new_tokens=NEW_TOKENS)
        auto_caption = processor.batch_decode(generated_ids, skip_special_tokens=True)[0].strip()
        sparse_caption = "zxy_style" + ", " + auto_caption.split(",")[0].replace("a ", "")
        txt_path = os.path.join(folder, img_file.rsplit(".", 1)[0] + ".txt")  # noqa: PTH118
        with open(txt_path, "w") as f:  # noqa: PTH123
            f.write(sparse_caption)


def ours(folder, model, processor, batch_size):
    settings = Settings(f"blip2 random, batches of {batch_size}", "zxy_style", "sparse", NEW_TOKENS)
    history = CaptionHistory(folder)
    plan = plan_folder(folder, settings, history, overwrite=True)
    captioner = Blip2Captioner(settings.model, model, processor, NEW_TOKENS)
    outcomes = list(caption_pictures(plan.todo, captioner, settings, history, batch_size=batch_size))
    faults = [outcome.fault for outcome in outcomes if outcome.fault]
    assert not faults, faults[0]
    return len(outcomes)


def timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=128)
    parser.add_argument("--guide-pictures", type=int, default=24)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not arguments.tiny:
        raise SystemExit("no GPU here; --tiny checks the script itself")
    dtype = torch.float16 if device == "cuda" else torch.float32  # the guide's
    model = build_model(device, dtype, tiny=arguments.tiny)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    vocabulary = model.config.text_config.vocab_size
    slow, fast = (
        build_processor(images(size={"height": 224, "width": 224}), vocabulary)
        for images in (BlipImageProcessor, BlipImageProcessorFast)
    )
    figures = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "new_tokens": NEW_TOKENS,
        "picture_side": arguments.side,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder, arguments.pictures, arguments.side)
        guides_loop(folder, 2, model, slow, dtype)  # warm-up
        count = min(arguments.guide_pictures, arguments.pictures)
        guide = count / timed(lambda: guides_loop(folder, count, model, slow, dtype))
        figures["guide_pictures_per_second"] = round(guide, 3)
        print(f"{'the guide, one at a time':<26}{guide:9.2f} pictures/s")
        rates = {}
        for size in arguments.batch_sizes:
            Blip2Captioner("warm-up", model, fast, 2).describe([Image.new("RGB", (64, 64))] * size)
            rates[size] = arguments.pictures / timed(lambda size=size: ours(folder, model, fast, size))
            print(f"{f'loraforge, batches of {size}':<26}{rates[size]:9.2f} pictures/s  {rates[size] / guide:6.1f}x")
        figures["batched_pictures_per_second"] = {size: round(rate, 3) for size, rate in rates.items()}
        figures["ratio"] = {size: round(rate / guide, 2) for size, rate in rates.items()}
        if device == "cuda":
            figures["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
