"""Captioners of a few thousand random weights, saved as `save_pretrained` saves the real ones."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2TokenizerFast,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    set_seed,
)

# BLIP-2 and LLaVA call the place of a picture <image>, Qwen <|image_pad|>.
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
SPECIAL += ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
WORDS = "a woman man cat dog in on under the garden table forest city sitting standing red painting of USER : ASSISTANT"
CHAT = (
    "{% for message in messages %}USER: {% for part in message.content %}"
    "{% if part.type == 'image' %}{{ IMAGE }}{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
SMALL_IMAGE = {"size": {"height": 32, "width": 32}}


def tokenizer(kind=PreTrainedTokenizerFast):
    """A vocabulary of whole words."""
    words = [*SPECIAL, *WORDS.split()]
    library = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))  # noqa: S106
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    return kind(
        tokenizer_object=library, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",  # noqa: S106
        additional_special_tokens=SPECIAL[4:], model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def text_sizes(**more):
    """The sizes of a tiny language model."""
    return {
        "vocab_size": len(SPECIAL) + len(WORDS.split()), "hidden_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **more,
    }  # fmt: skip


def save_blip2(folder):
    """BLIP-2 with an OPT of one layer."""
    set_seed(0)
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    qformer = {**vision, "encoder_hidden_size": 32, "cross_attention_frequency": 1}
    config = Blip2Config(
        vision_config={**vision, "image_size": 32, "patch_size": 16},
        qformer_config={**qformer, "vocab_size": 40},
        text_config=OPTConfig(**text_sizes(ffn_dim=32, word_embed_proj_dim=32, max_position_embeddings=64)).to_dict(),
        num_query_tokens=4,
        image_token_index=4,
    )
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    Blip2Processor(BlipImageProcessor(**SMALL_IMAGE), tokenizer(), num_query_tokens=4).save_pretrained(folder)


def save_llava(folder, *, chat=True):
    """LLaVA with a CLIP and a Llama of one layer, as JoyCaption is built; without a chat template on request."""
    set_seed(0)
    config = LlavaConfig(
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=16,
        ),
        LlamaConfig(**text_sizes(intermediate_size=32, num_key_value_heads=2)),
        image_token_index=4,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LlavaProcessor(
        images, tokenizer(), patch_size=16, vision_feature_select_strategy="default", image_token="<image>",  # noqa: S106
        num_additional_image_tokens=1, chat_template=CHAT.replace("{{ IMAGE }}", "<image>") if chat else None,
    ).save_pretrained(folder)  # fmt: skip


def save_qwen(folder):
    """Qwen2.5-VL of one layer."""
    set_seed(0)
    config = Qwen2_5_VLConfig(
        text_config=text_sizes(
            intermediate_size=32, num_key_value_heads=2, rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]}
        ),
        vision_config={
            "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32,
            "fullatt_block_indexes": [0], "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
        },
        image_token_id=5, video_token_id=6, vision_start_token_id=7, vision_end_token_id=8,
    )  # fmt: skip
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    pixels = {"min_pixels": 56 * 56, "max_pixels": 56 * 56 * 4}
    chat = CHAT.replace("{{ IMAGE }}", "<|vision_start|><|image_pad|><|vision_end|>")
    Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(**pixels),
        tokenizer(Qwen2TokenizerFast),
        Qwen2VLVideoProcessor(**pixels),
        chat_template=chat,
    ).save_pretrained(folder)
